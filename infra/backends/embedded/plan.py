"""Decide what leads from the processes that run to those that are declared."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from infra.backends import protocol
from infra.backends.drift import describe_changes, differences
from infra.backends.embedded.redis import unescape
from infra.backends.embedded.server import Launch
from infra.backends.protocol import Operation
from infra.config.identity import Service


class Verb(StrEnum):
    """What can be done to a process."""

    INITIALISE = protocol.INITIALISE
    START = "start"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Observed:
    """A server's state: whether its process lives, what it was started with, whether the declared data was finished."""

    running: bool
    config_hash: str | None
    complete: bool
    words: tuple[str, ...] = ()


def plan_up(launches: tuple[Launch, ...], observed: dict[Service, Observed]) -> tuple[Operation, ...]:
    """Return the operations that lead to the declared servers, each with its cause; none where all is as declared."""
    return tuple(operation for launch in launches for operation in _service(launch, observed[launch.service]))


def words_of(command: tuple[str, ...], config: str) -> tuple[str, ...]:
    """Return what a server was told, a word each; of a directive of its configuration `name=value`."""
    directives = (line.partition(" ") for line in config.splitlines())
    return (*command, *(f"{name}={unescape(value)}" for name, _, value in directives))


def _service(launch: Launch, observed: Observed) -> Iterator[Operation]:
    name = launch.service
    if observed.running and observed.config_hash == launch.config_hash:
        return
    if observed.running:
        yield Operation(
            Verb.STOP, name, describe_changes(differences(observed.words, words_of(launch.command, launch.config)))
        )
    if not observed.complete:
        yield Operation(Verb.INITIALISE, name, "there is no data that was finished")
    yield Operation(Verb.START, name, "it has to start again" if observed.running else "it does not run")
