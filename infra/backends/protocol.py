"""What the stack asks of a backend, and the little in which the two may differ."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from infra.backends.data_directory import Data
from infra.config.identity import Service
from infra.config.settings import BackendChoice
from infra.declaration.spec import StackSpec

Say = Callable[[str], None]

# The step that makes PostgreSQL's data: if that refuses a password, then because it has not been given one yet.
INITIALISE = "initialise data"


class Server(NamedTuple):
    """A server that runs.

    `start_id` names this start of this server with this configuration: while it is the same, what was proven of the
    server still stands. One that does not serve has its port all the same, as a container that is paused.
    """

    service: Service
    port: int
    since: datetime
    start_id: str
    description: str
    serves: bool = True
    further_ports: tuple[tuple[int, int], ...] = ()

    @property
    def ports(self) -> dict[Service, int]:
        """Each port on the host by its name."""
        return {self.service: self.port} | {self.service.further(inside): port for inside, port in self.further_ports}


@dataclass(frozen=True, slots=True)
class Operation:
    """One step towards the declared stack, and why it is taken.

    `target` is what the backend acts on; `name` is what people call it, where that is something else.
    """

    verb: str
    target: str
    cause: str
    name: str = field(default="", compare=False)

    @property
    def title(self) -> str:
        """The target as people call it."""
        return self.name or self.target

    def __str__(self) -> str:
        return f"{self.verb} {self.title}: {self.cause}"


class Backend(Protocol):
    """A way to run the stack's servers. No method touches what does not belong to the project."""

    choice: BackendChoice

    def resolve(self, spec: StackSpec, known: Mapping[Service, str], deadline: timedelta | None, say: Say) -> StackSpec:
        """Return `spec` with what this machine has put in (the images); get what is missing within `deadline`.

        `known` is what served last time, by service: where it still does, nothing is asked of the network.

        Raises:
            EnvironmentFault: something is not to be had.
        """

    def present(self, spec: StackSpec, known: Mapping[Service, str]) -> StackSpec:
        """Return what `resolve` would as far as it is on this machine already; get nothing."""

    def missing(self, spec: StackSpec) -> tuple[Operation, ...]:
        """Return what `resolve` would have to get first."""

    def extensions(self, spec: StackSpec) -> frozenset[str] | None:
        """Return the names of the extensions that the spec's PostgreSQL has; None where it is not here yet."""

    def engine(self) -> tuple[str, str]:
        """Return the address and the id of the container engine, empty for plain processes."""

    def refuse_other_engine(self, endpoint: str, engine: str) -> None:
        """Return where the stack that was brought up on this engine is the backend's; empty: on none, or not known.

        Raises:
            StackError: this is another engine.
        """

    def servers(self) -> dict[Service, Server]:
        """Return the project's running servers."""

    def up(
        self, spec: StackSpec, undo: ExitStack, note_stop: Callable[[], None] = lambda: None
    ) -> tuple[Operation, ...]:
        """Bring the servers to what `spec` declares; `undo` learns how to take back what this call made.

        `note_stop` is called before a server is stopped.

        Data that it made may refuse the superuser's password until `administer` has taught it.

        Raises:
            EnvironmentFault: a port or the engine refuses.
            StackError: existing data cannot be used.
        """

    def still_alive(self, service: Service) -> None:
        """Return while the server runs.

        Raises:
            ServiceFailed: it ended; the message holds its own last lines.
        """

    def health(self, service: Service) -> str | None:
        """Return what the server's health check says against it, empty where it is well; None where it has no check."""

    def confirm(self, spec: StackSpec) -> str:
        """Mark the data as complete, once the stack was ready, and remove what was replaced.

        Returns what names that data, to be given to the backend the next time: it need not be looked into then.
        """

    def plan(self, spec: StackSpec) -> tuple[Operation, ...]:
        """Return what `up` would do, without doing it."""

    def administer(self, spec: StackSpec, statements: Sequence[str], known_users: Sequence[str]) -> None:
        """Run statements in PostgreSQL as a superuser without a password, from inside, where none is asked for.

        `known_users` are superusers that the data may know, the likeliest first. A statement is one line.

        Raises:
            StackError: nobody could run them.
        """

    def down(self, *, volumes: bool, services: Collection[Service] | None = None) -> tuple[Operation, ...]:
        """Stop these servers, or all; with `volumes` remove their data that `up` made as well."""

    def refuse_used_data(self, services: Collection[Service] | None = None) -> None:
        """Return where a `down` with volumes can remove the data of these servers that `up` made.

        Raises:
            StackError: somebody else uses that data.
        """

    def removal_commands(self, services: Collection[Service] | None = None) -> tuple[str, ...]:
        """Return the commands that remove what a `down` of these with volumes left, since `up` did not make it."""

    def has_data(self) -> bool:
        """Return whether data of the project lives in this backend."""

    def versions(self) -> Sequence[int]:
        """Return the versions of PostgreSQL of which there is data."""

    def discard(self, version: int) -> None:
        """Remove PostgreSQL's data of a version, if `up` made it; no server runs on it."""

    def data(self, spec: StackSpec) -> Data | None:
        """Return what PostgreSQL's data says of itself, None where there is none."""

    def refuse_damaged_redis(self, spec: StackSpec) -> None:
        """Return where Redis would load its append-only file, as far as that can be seen without starting it.

        Raises:
            StackError: it would not.
        """

    def client(self, service: Service, words: Sequence[str], *, terminal: bool) -> Sequence[str]:
        """Return the command line that runs a client's `words` where the server's own programs are; empty for none."""

    def logs(self, service: Service, lines: int, *, follow: bool = False) -> Iterator[str]:
        """Yield the last lines of a server's log; with `follow` then every new one, as long as there is a server."""
