"""Decide what leads from the processes that run to those that are declared. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from infra.backend import Operation
from infra.embedded_backend.server import Launch
from infra.spec import Service


class Verb(StrEnum):
    """What can be done to a process."""

    INITIALISE = "initialise data"
    START = "start"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Observed:
    """A server's state: whether its process lives, what it was started with, whether its data was finished."""

    running: bool
    config_hash: str | None
    complete: bool


def plan_up(launches: tuple[Launch, ...], observed: dict[Service, Observed]) -> tuple[Operation, ...]:
    """Return the operations that lead to the declared servers, each with its cause; none where all is as declared."""
    return tuple(operation for launch in launches for operation in _service(launch, observed[launch.service]))


def _service(launch: Launch, observed: Observed) -> Iterator[Operation]:
    name = launch.service.value
    if observed.running and observed.config_hash == launch.config_hash:
        return
    if observed.running:
        yield Operation(Verb.STOP, name, "its declaration changed")
    elif not observed.complete:
        yield Operation(Verb.INITIALISE, name, "there is no data that was finished")
    yield Operation(Verb.START, name, "it has to start anew" if observed.running else "it does not run")
