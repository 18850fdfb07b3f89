"""Change a database by migrations: one process at a time, watched, interruptible, and never against the rules."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from alembic.script import Script

from infra.config.settings import CHECKOUT, Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, unavailable
from schema.errors import MigrationError, MigrationInterrupted
from schema.migration.apply import ledger
from schema.migration.apply.applied import ask
from schema.migration.apply.guard import Guard, Rule, driver_of, explain, foreseen
from schema.migration.apply.lock_monitor import watched
from schema.migration.apply.plan import Planned
from schema.migration.apply.run import LockRetry, Run, Step
from schema.migration.apply.status import MigrationStatus, migration_status, require_known
from schema.migration.engine import owner_engine
from schema.migration.files import Migrations, applied_revisions, reason_of
from schema.migration.lock import migration_lock


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run goes about it.

    `finished` is called for each migration that is committed, `say` for what takes over a second. `observers` are the
    URLs of roles that may see what other sessions do, asked in turn before the owner.
    """

    guard: Guard = field(default_factory=Guard)
    lock_retry: LockRetry = field(default_factory=LockRetry)
    observers: tuple[DatabaseUrl, ...] = ()
    finished: Callable[[Step], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class MigrationSession:
    """A database that this process alone may migrate now, and what it is at."""

    owner: DatabaseUrl
    settings: Settings
    migrations: Migrations
    run_options: RunOptions
    lock: BoundedConnection
    rules: tuple[Rule, ...]

    @property
    def at(self) -> tuple[str, ...]:
        """The revisions that the database is at."""
        return applied_revisions(self.lock)

    def lines(self) -> list[MigrationStatus]:
        """Return where the database stands."""
        return migration_status(self.migrations, self.at, ledger.read(self.lock))

    def require_known(self) -> None:
        """Raise where the database holds what this checkout does not, or other than it does."""
        require_known(self.migrations, self.lines(), place_of(self.owner))

    def refuse(self, steps: Sequence[Planned], rules: Sequence[Rule]) -> None:
        """Raise where a rule refuses what a step would do, before any has been done.

        Raises:
            MigrationError: names the steps by their files, with the reasons.
        """
        found = [
            (step.file, refused, rule) for step in steps for refused, rule in foreseen(self.lock, step.sql or "", rules)
        ]
        if found:
            refusals = [(f"{file}: it {refused}", rule) for file, refused, rule in found]
            raise MigrationError(
                f"Nothing was changed in {place_of(self.owner)}. {explain(refusals)}",
                files=tuple(dict.fromkeys(file for file, _, _ in found)),
                changes=tuple(dict.fromkeys(refused for _, refused, _ in found)),
            )

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
            urls = (*(url.on(self.owner.database) for url in self.run_options.observers), self.owner)
            pid = driver_of(connection).info.backend_pid
            with watched(urls, self.settings, pid, self.run_options.say) as watch:
                run = Run(
                    self.migrations,
                    connection,
                    scripts,
                    rules=rules,
                    lock_retry=self.run_options.lock_retry,
                    began=lambda script: watch.begin(Path(script.path).name),
                    finished=self.run_options.finished,
                    blockers=lambda: watch.blockers,
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
    owner: DatabaseUrl, settings: Settings, checkout: Path = CHECKOUT, run_options: RunOptions | None = None
) -> Iterator[MigrationSession]:
    """Hold the right to migrate a database for a block.

    Raises:
        DatabaseUnavailable: the server is away, goes away, or refuses the owner.
        MigrationError: the migrations cannot be read, the guard's word is for another database, or another process
            migrates and does not end.
        MigrationInterrupted: the wait for the other process was interrupted.
    """
    run_options = run_options or RunOptions()
    migrations = Migrations.load(checkout, lambda: ask(owner, settings))
    with _explained(owner), ExitStack() as held:
        with interruptible(lambda: "before anything was changed"):
            lock = held.enter_context(migration_lock(owner, settings, say=run_options.say))
        yield MigrationSession(owner, settings, migrations, run_options, lock, run_options.guard.rules(lock, settings))


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
        raise MigrationInterrupted(
            f"Interrupted {state()}; the command goes on from there.", signal_number=number
        ) from None


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
        raise MigrationError(
            f"It could not be seen what is in {place_of(owner)}: {reason_of(error)}.", sqlstate=error.sqlstate
        ) from error
