"""What the stack asks of a backend, and the little in which the two may differ."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from infra.settings import BackendChoice
from infra.spec import Service, StackSpec
from infra.volumes import Data

Say = Callable[[str], None]

# The step that makes PostgreSQL's data: if that refuses a password, then because nobody has told it one yet.
INITIALISE = "initialise data"


class Server(NamedTuple):
    """A server that runs.

    `incarnation` names this start of this server with this configuration: while it is the same, what was proven of the
    server still stands.
    """

    service: Service
    port: int
    since: datetime
    incarnation: str
    what: str


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

    def servers(self) -> dict[Service, Server]:
        """Return the project's running servers."""

    def up(
        self, spec: StackSpec, undo: ExitStack, meanwhile: Callable[[], None] = lambda: None
    ) -> tuple[Operation, ...]:
        """Bring the servers to what `spec` declares; `undo` learns how to take back what this call made.

        `meanwhile` is called when there is time for something else, if there is any.

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

    def confirm(self, spec: StackSpec) -> str:
        """Mark the data as complete, once the stack was ready, and let go of what was replaced.

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

    def down(self, *, volumes: bool) -> tuple[Operation, ...]:
        """Stop the servers; with `volumes` remove their data as well."""

    def has_data(self) -> bool:
        """Tell whether data of the project lives in this backend."""

    def data(self, spec: StackSpec) -> Data | None:
        """Return what PostgreSQL's data says of itself, None where there is none."""

    def client(self, service: Service, words: Sequence[str], *, terminal: bool) -> Sequence[str]:
        """Return the command line that runs a client's `words` where the server's own programs are; empty for none."""

    def logs(self, service: Service, lines: int, *, follow: bool = False) -> Iterator[str]:
        """Yield the last lines of a server's log; with `follow` then every new one, as long as there is a server."""
