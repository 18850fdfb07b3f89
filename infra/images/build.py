"""Build the stand-ins: each a Dockerfile of this folder on the one base."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from infra.config.errors import EnvironmentFault
from infra.images.base import RELEASE_ROOT, ensure_root
from infra.images.context import Entry, files_of, packed
from infra.images.engine import Engine
from infra.images.names import STAND_INS
from infra.images.wheel import postgres_files

_HERE = Path(__file__).parent


def build(engine: Engine, *, progress: Callable[[str], None], force: bool = False) -> list[str]:
    """Build the stand-ins of all default images; return their references.

    A base that is there is used again, and what the engine has cached too, unless `force` asks for both again.

    Raises:
        EnvironmentFault: this machine lacks a tool, a right or the wheel, or the engine could not build.
    """
    # The contexts come first: a missing wheel is reported before the half minute that a base image takes.
    contexts = {official: list(_entries(official)) for official in STAND_INS}
    ensure_root(engine, progress=progress, force=force)
    for official, entries in contexts.items():
        progress(f"building {STAND_INS[official]}, which stands in for {official}")
        _build_one(engine, STAND_INS[official], entries, force=force)
    return list(STAND_INS.values())


def build_release_base(engine: Engine, *, progress: Callable[[str], None], force: bool = False) -> str:
    """Make an image that a release can be built on, and return its reference.

    Raises:
        EnvironmentFault: this machine lacks a tool, a right or a mirror.
    """
    ensure_root(engine, RELEASE_ROOT, progress=progress, force=force)
    return RELEASE_ROOT.reference


def _entries(official: str) -> Iterator[Entry]:
    service = official.partition(":")[0]
    yield from files_of(_HERE / service)
    if service == "postgres":
        yield from postgres_files(16)


def _build_one(engine: Engine, reference: str, entries: Iterable[Entry], *, force: bool) -> None:
    with packed(entries) as context:
        messages = engine.build(
            fileobj=context, custom_context=True, tag=reference, rm=True, forcerm=True, nocache=force, decode=True
        )
        _follow(reference, messages)


def _follow(reference: str, messages: Iterable[dict[str, Any]]) -> None:
    """Read a build to its end; its failure is a message like the others and not an HTTP status."""
    tail: deque[str] = deque(maxlen=12)
    for message in messages:
        tail.append(str(message.get("stream", "")))
        if "error" in message:
            fault = EnvironmentFault(
                f"{reference} could not be built: {message['error']}. The last lines of the build follow; "
                "correct their cause and run the command again."
            )
            fault.add_note("".join(tail))
            raise fault
