"""An engine that fails at one call, and a template of data for the backend that uses it."""

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from infra.backends.data_directory import MADE, identifier_of
from infra.backends.docker.template import Template
from infra.config.secret import Secret
from tests.ground.properties.fake_engine import refusal
from tests.kit.engine_user import Engine, a_cluster, packed

_CHANGES = frozenset(
    {"create_network", "create_volume", "create_container", "start", "stop", "unpause", "rename", "put_archive"}
    | {"remove_container", "remove_volume", "remove_network"}
)


class InTurn(Executor):
    """Do at once what is submitted: threads that take turns by chance would make an example another one each time."""

    def submit(self, act: Callable[..., Any], /, *arguments: Any, **options: Any) -> "Future[Any]":
        """Call it, and return what came of it."""
        done: Future[Any] = Future()
        try:
            done.set_result(act(*arguments, **options))
        except BaseException as error:  # carried to who asks for the result, as by a thread
            done.set_exception(error)
        return done


class Killed(BaseException):
    """The command was killed: none of its code runs any more."""


class Doomed:
    """A client of an engine that fails at one call: the engine refuses it, or the command is killed there."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._lock = engine, threading.RLock()
        self.spare()

    def spare(self) -> None:
        """Let every call come through."""
        self._left, self._killed, self._dead, self.failed = -1, False, False, ""

    def doom(self, number: int, *, killed: bool) -> None:
        """Let the change with this number fail, and where the command is `killed` all calls that come after it."""
        self.spare()
        self._left, self._killed = number, killed

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._engine, name)
        return self._called(name, found) if callable(found) else found

    def _called(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                if self._dead or (name in _CHANGES and self._comes_to_an_end()):
                    self.failed, self._dead = name, self._killed
                    raise Killed if self._killed else refusal(500, "refused for the test")
                return found(*arguments, **options)

        return call

    def _comes_to_an_end(self) -> bool:
        self._left -= 1
        return self._left == -1


class _Made(Template):
    def discard(self) -> None:
        """Keep it: it is another one each time."""


@contextmanager
def a_template(*_: object) -> Iterator[Template]:
    """Give a template whose cluster has an identifier of its own, in the place of one that the image makes."""
    cluster = a_cluster("ours")
    made = {MADE: (identifier_of(cluster["global/pg_control"]) or "").encode()}
    archive = io.BytesIO(packed({f"data/{name}": content for name, content in (made | cluster).items()}))
    yield _Made(archive, Secret("S3cret"))
