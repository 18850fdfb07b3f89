"""Change a database by migrations: one process at a time, watched, interruptible, and never against the rules."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from alembic.script import Script

from infra.settings import CHECKOUT, Settings
from infra.urls import DatabaseUrl
from schema.applying import ledger
from schema.applying.guard import Guard, Rule, driver_of, refusals, told
from schema.applying.offline import Planned
from schema.applying.run import Patience, Run, Step
from schema.applying.standing import Line, require_known, standing
from schema.applying.watch import watched
from schema.connect import BoundedConnection, unavailable
from schema.engine import owner_engine
from schema.errors import MigrationError, MigrationInterrupted
from schema.migration_lock import migration_lock
from schema.revisions import Migrations, applied_revisions, reason_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a run goes about it.

    `finished` hears of each migration that is committed, `say` of what takes over a second. `observers` are the URLs of
    roles that may see what other sessions do, asked in turn before the owner.
    """

    guard: Guard = field(default_factory=Guard)
    patience: Patience = field(default_factory=Patience)
    observers: tuple[DatabaseUrl, ...] = ()
    finished: Callable[[Step], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Changing:
    """A database that this process alone may migrate now, and what it is at."""

    owner: DatabaseUrl
    settings: Settings
    migrations: Migrations
    manner: Manner
    lock: BoundedConnection
    rules: tuple[Rule, ...]

    @property
    def at(self) -> tuple[str, ...]:
        """The revisions that the database is at."""
        return applied_revisions(self.lock)

    def lines(self) -> list[Line]:
        """Return where the database stands."""
        return standing(self.migrations, self.at, ledger.read(self.lock))

    def require_known(self) -> None:
        """Raise where the database holds what this checkout does not, or other than it does."""
        require_known(self.migrations, self.lines(), place_of(self.owner))

    def refuse(self, steps: Sequence[Planned], rules: Sequence[Rule]) -> None:
        """Raise where a rule refuses what a step would do, before any has been done.

        Raises:
            MigrationError: names each file, with the reasons.
        """
        found = {
            f"{step.file}: {reason}": exception
            for step in steps
            for reason, exception in refusals(self.lock, step.sql or "", rules).items()
        }
        if found:
            raise MigrationError(f"Nothing was changed in {place_of(self.owner)}. {told(found)}.")

    def run(self, scripts: Sequence[Script], rules: Sequence[Rule], command: Callable[[], object]) -> tuple[Step, ...]:
        """Run Alembic's command for these migrations; return what was done.

        Raises:
            DatabaseUnavailable: the server goes away.
            MigrationError: a migration fails, is refused, or does not get its locks.
            MigrationInterrupted: SIGINT, or SIGTERM where the caller makes it a KeyboardInterrupt, ended it.
        """
        if not scripts:
            return ()
        with owner_engine(self.owner, self.settings).connect() as connection:
            urls = (*(url.on(self.owner.database) for url in self.manner.observers), self.owner)
            pid = driver_of(connection).info.backend_pid
            with watched(urls, self.settings, pid, self.manner.say) as watch:
                run = Run(
                    self.migrations,
                    connection,
                    scripts,
                    rules=rules,
                    patience=self.manner.patience,
                    began=lambda script: watch.begin(Path(script.path).name),
                    finished=self.manner.finished,
                    held_up_by=lambda: watch.held_up_by,
                )
                with interruptible(lambda: self._state(run)):
                    run.execute(command)
        return tuple(run.done)

    def _state(self, run: Run) -> str:
        name = Path(run.current.path).name if run.current else "the run"
        at = ", ".join(self.at) or "no revision"
        return f"in {name}, which was not finished: {place_of(self.owner)} is at {at}"


@contextmanager
def changing(
    owner: DatabaseUrl, settings: Settings, checkout: Path = CHECKOUT, manner: Manner | None = None
) -> Iterator[Changing]:
    """Hold the right to migrate a database for a block.

    Raises:
        DatabaseUnavailable: the server is away, goes away, or refuses the owner.
        MigrationError: the migrations cannot be read, the guard's word is for another database, or another process
            migrates and does not end.
        MigrationInterrupted: the wait for the other process was interrupted.
    """
    manner = manner or Manner()
    migrations = Migrations.load(checkout)
    with _explained(owner), ExitStack() as held:
        with interruptible(lambda: "before anything was changed"):
            lock = held.enter_context(migration_lock(owner, settings, say=manner.say))
        yield Changing(owner, settings, migrations, manner, lock, manner.guard.rules(lock, settings))


@contextmanager
def interruptible(state: Callable[[], str]) -> Iterator[None]:
    """Turn a KeyboardInterrupt into the error that says what `state` was reached.

    Its argument is the signal's number, SIGINT where it has none.

    Raises:
        MigrationInterrupted: it was interrupted.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        number = stop.args[0] if stop.args else signal.SIGINT
        raise MigrationInterrupted(f"Interrupted {state()}; the command goes on from there.", number) from None


def place_of(url: DatabaseUrl) -> str:
    """Name a database for people: what it is called and where it is."""
    return f"database {url.database!r} at {url.host}:{url.port}"


@contextmanager
def _explained(owner: DatabaseUrl) -> Iterator[None]:
    """Explain what went wrong on the lock's own connection."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None or error.sqlstate.startswith(("08", "57")):
            raise unavailable(owner, error, lost=True) from error
        raise MigrationError(f"It could not be seen what is in {place_of(owner)}: {reason_of(error)}.") from error
