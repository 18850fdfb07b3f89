"""Build the stand-ins: each a Dockerfile of this folder on a Debian root."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from infra.config.errors import EnvironmentFault
from infra.declaration.spec import container_paths
from infra.images.base import NEWER_ROOT, RELEASE_ROOT, STAND_IN_ROOT, Root, ensure_root
from infra.images.context import Entry, packed
from infra.images.engine import Engine
from infra.images.names import STAND_INS
from infra.images.wheel import postgres_files

_HERE = Path(__file__).parent


class Recipe(NamedTuple):
    """How a stand-in is built: on which root, from which Dockerfile, with the wheel's server of this version."""

    root: Root
    dockerfile: str
    arguments: Mapping[str, str]
    wheel: int | None = None


def _postgres(root: Root, dockerfile: str, version: int, *, wheel: bool) -> Recipe:
    volume, data = container_paths(version)
    arguments = {"PG_MAJOR": str(version), "PGDATA": data, "DATA_VOLUME": volume}
    return Recipe(root, f"postgres/{dockerfile}", arguments, version if wheel else None)


def _redis(root: Root, server: str, version: int) -> Recipe:
    return Recipe(root, "redis/Dockerfile", {"SERVER": server, "VERSION": str(version)})


RECIPES = {
    "postgres:16": _postgres(STAND_IN_ROOT, "wheel.Dockerfile", 16, wheel=True),
    "postgres:17": _postgres(NEWER_ROOT, "debian.Dockerfile", 17, wheel=False),
    "postgres:18": _postgres(STAND_IN_ROOT, "wheel.Dockerfile", 18, wheel=True),
    "redis:7-alpine": _redis(STAND_IN_ROOT, "redis", 7),
    "redis:8-alpine": _redis(NEWER_ROOT, "redis", 8),
    "valkey/valkey:8-alpine": _redis(NEWER_ROOT, "valkey", 8),
}


def build(
    engine: Engine, officials: Iterable[str], *, progress: Callable[[str], None], force: bool = False
) -> list[str]:
    """Build the stand-ins of these official images; return their references.

    A base that is there is used again, and what the engine has cached too, unless `force` asks for both again.

    Raises:
        EnvironmentFault: this machine lacks a tool, a right or the wheel, or the engine could not build.
    """
    # The contexts come first: a missing wheel is reported before the half minute that a base image takes.
    contexts = {official: list(_entries(RECIPES[official])) for official in officials}
    for root in dict.fromkeys(RECIPES[official].root for official in contexts):
        ensure_root(engine, root, progress=progress, force=force)
    for official, entries in contexts.items():
        progress(f"building {STAND_INS[official]}, which stands in for {official}")
        _build_one(engine, official, entries, force=force)
    return [STAND_INS[official] for official in contexts]


def build_release_base(engine: Engine, *, progress: Callable[[str], None], force: bool = False) -> str:
    """Make an image that a release can be built on, and return its reference.

    Raises:
        EnvironmentFault: this machine lacks a tool, a right or a mirror.
    """
    ensure_root(engine, RELEASE_ROOT, progress=progress, force=force)
    return RELEASE_ROOT.reference


def _entries(recipe: Recipe) -> Iterator[Entry]:
    yield "Dockerfile", _HERE / recipe.dockerfile
    yield "docker-entrypoint.sh", _HERE / recipe.dockerfile.partition("/")[0] / "docker-entrypoint.sh"
    if recipe.wheel is not None:
        yield from postgres_files(recipe.wheel)


def _build_one(engine: Engine, official: str, entries: Iterable[Entry], *, force: bool) -> None:
    reference, recipe = STAND_INS[official], RECIPES[official]
    arguments = {"BASE": recipe.root.reference, "OFFICIAL": official, **recipe.arguments}
    with packed(entries) as context:
        messages = engine.build(
            fileobj=context,
            custom_context=True,
            tag=reference,
            buildargs=arguments,
            rm=True,
            forcerm=True,
            nocache=force,
            decode=True,
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
