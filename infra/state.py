"""What is remembered of a project's stack between two commands, and the lock that keeps commands apart.

The folder holds the record, the lock and, for embedded servers, their data. It lies outside the checkout, so that no
tidying of the checkout takes it along. For root it is below /var/lib, because the servers run as another user, who
cannot read below a home of mode 0700; otherwise in the XDG state folder (XDG Base Directory Specification).
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from infra.errors import StackError
from infra.settings import BackendChoice
from infra.spec import Project, Service

ROOT_STATE = Path("/var/lib/groundwork")


def state_directory(project: Project) -> Path:
    """Return the folder that holds the state of `project`; it need not exist."""
    if os.geteuid() == 0:
        return ROOT_STATE / project.id
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "groundwork" / project.id


@dataclass(frozen=True, slots=True)
class Record:
    """What the last successful `up` left behind.

    `proven` holds, for each service, which start of which server was proven to serve, and with which configuration; a
    server that is still the same needs no new proof. `data` names the data that was complete then, and `superuser`
    whom it knew. `stopping` is set while a `down` runs: where that was interrupted, a server that answers may be about
    to end.
    """

    backend: BackendChoice
    path: str
    ports: dict[Service, int]
    proven: dict[Service, str] = field(default_factory=dict)
    images: dict[Service, str] = field(default_factory=dict)
    superuser: str = ""
    data: str = ""
    stopping: bool = False

    @classmethod
    def load(cls, project: Project) -> "Record | None":
        """Return the record of `project`, None where there is none.

        Raises:
            StackError: the record cannot be read.
        """
        path = _path(project)
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                backend=BackendChoice(stored["backend"]),
                path=stored["path"],
                ports={Service(name): int(port) for name, port in stored["ports"].items()},
                proven={Service(name): proof for name, proof in stored["proven"].items()},
                images={Service(name): image for name, image in stored["images"].items()},
                superuser=stored.get("superuser", ""),
                data=stored.get("data", ""),
                stopping=stored.get("stopping", False),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StackError(
                f"The stack's record {path} cannot be read ({type(error).__name__}). It holds no data: move it away "
                "and run `invoke up`, which finds the stack by its labels."
            ) from None

    def save(self, project: Project) -> None:
        """Write the record whole or not at all."""
        path = _path(project)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        draft.replace(path)


def forget(project: Project) -> None:
    """Remove the record."""
    _path(project).unlink(missing_ok=True)


def _path(project: Project) -> Path:
    return state_directory(project) / "state.json"


@contextmanager
def project_lock(project: Project, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the project's lock; every command that changes the stack does.

    A kernel lock (flock(2)), so that it is free as soon as its holder is dead, however it died. Says whom it waits for.
    """
    with _locked(state_directory(project) / "lock", say) as stream:
        stream.truncate(0)
        stream.write(f"pid {os.getpid()}\n")
        stream.flush()
        try:
            yield
        finally:
            _leave_nothing_empty(state_directory(project))


def _leave_nothing_empty(directory: Path) -> None:
    """Remove a folder that holds nothing but the lock: who waits for that finds it gone, and makes another."""
    with suppress(FileNotFoundError):
        if [found.name for found in directory.iterdir()] == ["lock"]:
            shutil.rmtree(directory)


@contextmanager
def ports_claimed(project: Project) -> Iterator[None]:
    """Keep the other stacks of this user from choosing ports, until those of `project` are listened on."""
    with _open(state_directory(project).parent / "ports.lock") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _locked(path: Path, say: Callable[[str], None]) -> TextIO:
    """Open and lock the file; try again where its last holder removed it with all else of the project."""
    while True:
        stream = _open(path)
        _take(stream, say)
        if path.exists() and path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
            return stream
        stream.close()


def _take(stream: TextIO, say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        say(f"waiting for another command on this stack ({stream.read().strip() or 'starting'})")
        fcntl.flock(stream, fcntl.LOCK_EX)


@contextmanager
def undisturbed(project: Project, say: Callable[[str], None]) -> Iterator[None]:
    """Keep the commands that change the stack away while it is looked at; make nothing, not even the lock's file."""
    try:
        stream = (state_directory(project) / "lock").open(encoding="utf-8")
    except OSError:
        yield
        return
    with stream:
        _take(stream, say)
        yield


def lock_holder(project: Project) -> str | None:
    """Name the command that changes the stack just now, None where there is none. Waits for nobody."""
    try:
        with (state_directory(project) / "lock").open(encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return stream.read().strip() or "a command that starts"
    except OSError:
        pass
    return None


def _open(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StackError(
            f"The state folder {path.parent} cannot be used: {error.strerror}. Make it writable for you, or set "
            "XDG_STATE_HOME to a folder that is."
        ) from None
