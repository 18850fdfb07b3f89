"""Who may lose data where: the rules that each statement of a migration is held against before it is sent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Connection, event

from infra.settings import FUNCTION_SCHEMA, AppEnv, Settings
from schema.applying.losses import lost
from schema.applying.statements import Loss, losses
from schema.errors import MigrationError

_OWN_TABLE = f"{FUNCTION_SCHEMA}.alembic_version"


class Refused(Exception):
    """A statement was not sent, because a rule refuses it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Says why a loss is refused, None where it is not; and what makes an exception."""

    reason: Callable[["psycopg.Connection[Any]", Loss], str | None]
    exception: str


@dataclass(frozen=True, slots=True)
class Guard:
    """What lets a destructive step run.

    `stack` is the id of the stack that the command belongs to, which its server has as `cluster_name`; it is free to
    lose its data, but not in production. Anywhere else `i_mean` must be the database's name, given by a person.
    """

    stack: str = ""
    i_mean: str = ""

    def rules(self, connection: "psycopg.Connection[Any]", settings: Settings) -> tuple[Rule, ...]:
        """Return what destructive steps in this database are held against.

        Raises:
            MigrationError: `i_mean` names another database.
        """
        database = connection.info.dbname
        if self.i_mean:
            if self.i_mean != database:
                raise MigrationError(
                    f"--i-mean={self.i_mean} names another database than the one that would be changed: {database!r} "
                    f"at {connection.info.host}:{connection.info.port}. Nothing was changed."
                )
            return ()
        if reason := self._reason(connection, settings):
            mean = f"If {database!r} is what you mean, repeat the command with --i-mean={database}"
            return (Rule(lambda _, loss: f"it {loss}, and {reason}", mean),)
        return ()

    def _reason(self, connection: "psycopg.Connection[Any]", settings: Settings) -> str | None:
        if settings.app_env is AppEnv.PRODUCTION:
            return "this is production (APP_ENV)"
        row = connection.execute("SELECT current_setting('cluster_name')").fetchone()
        name = row[0] if row else ""
        if not self.stack or name != self.stack:
            where = f"{connection.info.host}:{connection.info.port}"
            return f"the server at {where} is not this checkout's stack (its cluster_name is {name!r})"
        return None


def _held(connection: "psycopg.Connection[Any]", loss: Loss) -> str | None:
    reason = lost(connection, loss)
    return reason and f"it {reason}"


KEEP_DATA = Rule(_held, "To give that data up, repeat the command with --allow-data-loss")
"""Refuses what takes away data that is there."""


def refusals(connection: "psycopg.Connection[Any]", sql: str, rules: Sequence[Rule]) -> dict[str, str]:
    """Return why statements are refused, and what makes an exception of each."""
    found = [
        (rule.reason(connection, loss), rule) for loss in losses(sql) if loss.table != _OWN_TABLE for rule in rules
    ]
    return {reason: rule.exception for reason, rule in found if reason}


def told(refused: Mapping[str, str]) -> str:
    """Return reasons, and behind them what makes an exception, in words."""
    return f"{'; '.join(refused)}. {'. '.join(dict.fromkeys(refused.values()))}"


@contextmanager
def guarded(connection: Connection, rules: Sequence[Rule]) -> Iterator[None]:
    """Hold each statement of the connection against the rules for a block; one that is refused is not sent.

    What is read beforehand from a migration's file can be another thing than what it does with a live connection, so
    the last word is had here.

    Raises:
        Refused: (from the statement) a rule says no.
    """

    def hold(on: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if found := refusals(driver_of(on), statement, rules):
            raise Refused(told(found))

    if not rules:
        yield
        return
    event.listen(connection, "before_cursor_execute", hold)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", hold)


def driver_of(connection: Connection) -> "psycopg.Connection[Any]":
    """Return psycopg's connection below SQLAlchemy's."""
    below = connection.connection.driver_connection
    if not isinstance(below, psycopg.Connection):
        raise TypeError(f"migrations run on psycopg, not on {type(below).__name__}")
    return below
