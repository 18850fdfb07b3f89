"""Run migrations on a connection: each in a transaction of its own, with short waits for locks; report every failure.

The command that is run is Alembic's own, through env.py, so that what it does is what plain `alembic` does.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from alembic.script import Script
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from schema.errors import MigrationError, SchemaError
from schema.migration.apply.guard import Refused, Rule, driver_of, guarded
from schema.migration.apply.lock_monitor import Blocker
from schema.migration.batching import BatchingConnection
from schema.migration.files import Migrations, applied, reason_of, sqlstate_of, title_of
from schema.migration.lock import begin_work


@dataclass(frozen=True, slots=True)
class LockRetry:
    """How long a lock is waited for.

    Every query on a table queues behind a migration that waits for it, so each wait is short and the queue moves
    between two: after `lock_timeout` comes a pause, which doubles, and another attempt.
    """

    lock_timeout: timedelta = timedelta(seconds=3)
    attempts: int = 3
    pause: timedelta = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Step:
    """A migration that was applied or taken back: its revision, its title, and how long that took."""

    revision: str
    title: str
    milliseconds: float


@dataclass(slots=True)
class Run:
    """One run. `scripts` is what is to be done, in order; `done` what has been, also when the run fails.

    `began` is called for each migration that begins, `finished` for each that is committed.
    """

    migrations: Migrations
    connection: Connection
    scripts: Sequence[Script]
    rules: Sequence[Rule] = ()
    lock_retry: LockRetry = field(default_factory=LockRetry)
    began: Callable[[Script], None] = lambda _: None
    finished: Callable[[Step], None] = lambda _: None
    blockers: Callable[[], Sequence[Blocker]] = tuple
    done: list[Step] = field(default_factory=list)
    _through: Step | None = None
    _autocommitted: bool = False
    _attempts: int = 0

    @property
    def current(self) -> Script | None:
        """The migration that runs, or failed; None where all are done."""
        return self.scripts[len(self.done)] if len(self.done) < len(self.scripts) else None

    def execute(self, command: Callable[[], object]) -> None:
        """Run Alembic's `command`, again where a lock was not to be had, until it is done.

        Raises:
            DatabaseUnavailable: the server goes away.
            MigrationError: a migration fails, is refused, or does not get its locks. Those before it stay done; of the
                failing one nothing does but what an autocommit block of its own has committed.
        """
        self.migrations.config.attributes.update(connection=self.connection, on_version_apply=self._note)
        seconds = self.lock_retry.pause.total_seconds()
        retrying = Retrying(
            retry=retry_if_exception(lambda error: _lock_missed(error) and not self._autocommitted),
            stop=stop_after_attempt(self.lock_retry.attempts),
            wait=wait_exponential(multiplier=seconds, max=8 * seconds),
            reraise=True,
        )
        try:
            with guarded(self.connection, self.rules), self._followed(), self._together():
                retrying(self._attempt, command)
        except SchemaError:
            raise
        except Exception as error:
            raise self._failure(error) from error

    def _attempt(self, command: Callable[[], object]) -> None:
        self._attempts += 1
        self.connection.rollback()
        limit = self.lock_retry.lock_timeout // timedelta(milliseconds=1)
        self.connection.exec_driver_sql(f"SET lock_timeout = '{limit}ms'")
        begin_work(driver_of(self.connection))
        self.connection.commit()
        self._through = None
        self._begin()
        command()
        self._commit()

    @contextmanager
    def _followed(self) -> Iterator[None]:
        """Follow where Alembic is: a transaction that begins tells that the one before it was committed."""

        def began(_: Connection) -> None:
            self._commit()

        def sent(on: Connection, *_: Any) -> None:
            self._autocommitted = self._autocommitted or driver_of(on).autocommit

        listeners: dict[str, Callable[..., None]] = {"begin": began, "before_cursor_execute": sent}
        for name, listener in listeners.items():
            event.listen(self.connection, name, listener)
        try:
            yield
        finally:
            for name, listener in listeners.items():
                event.remove(self.connection, name, listener)

    def _together(self) -> AbstractContextManager[None]:
        """Send definitions together; what is held against a rule before it is deferred has been."""
        driver = driver_of(self.connection)
        return driver.batch_ddl() if isinstance(driver, BatchingConnection) else nullcontext()

    def _note(self, *, milliseconds: float, **_: Any) -> None:
        if (script := self.current) is not None:
            self._through = Step(script.revision, title_of(script), milliseconds)

    def _commit(self) -> None:
        if self._through is not None:
            self.done.append(self._through)
            self.finished(self._through)
            self._through = None
            self._begin()

    def _begin(self) -> None:
        self._autocommitted = False
        if (script := self.current) is not None:
            self.began(script)

    def _failure(self, error: Exception) -> MigrationError:
        """Explain a failure by the file that it is of, the database and who was in the way."""
        blockers = tuple(self.blockers()) if _lock_missed(error) else ()
        return MigrationError(
            self._explain(error, blockers),
            files=(Path(self.current.path).name,) if self.current else (),
            changes=error.steps if isinstance(error, Refused) else (),
            sqlstate=sqlstate_of(error),
            blockers=tuple(blocker.pid for blocker in blockers),
        )

    def _explain(self, error: Exception, blockers: Sequence[Blocker]) -> str:
        # The database is asked, because a migration can fail at its very end, when it is committed.
        self.connection.rollback()
        at = ", ".join(applied(self.connection)) or "no revision"
        script, database = self.current, self.connection.engine.url.database
        kept = "what its autocommit block did before stays" if self._autocommitted else "was rolled back"
        name = Path(script.path).name if script else "The run"
        if isinstance(error, Refused):
            return f"{name} was refused in database {database!r} and {kept}: {error} The database is at {at}."
        where = f"{name} failed in database {database!r} and {kept}"
        if _lock_missed(error):
            named = "; ".join(map(str, blockers)) or "who holds it is gone by now"
            return (
                f"{where}: could not get a lock in {self._attempts} attempts. Blocked by: {named}. The database is "
                f"at {at}. End what blocks it, or wait for it, and run the command again."
            )
        return f"{where}: {reason_of(error)}. The database is at {at}. Correct the migration and run the command again."


def _lock_missed(error: BaseException) -> bool:
    # What looks at rows before a statement is sent uses psycopg itself.
    return isinstance(error.orig if isinstance(error, DBAPIError) else error, psycopg.errors.LockNotAvailable)
