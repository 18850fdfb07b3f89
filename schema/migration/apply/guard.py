"""Who may lose data where: the rules that each statement of a migration is held against before it is sent."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import psycopg
from sqlalchemy import Connection, event

from infra.config.settings import AppEnv, Settings, function_schema
from schema.errors import MigrationError, list_message
from schema.migration.apply.data_loss import find_loss
from schema.migration.apply.destructive_sql import Kind, Loss, losses

_OWN_TABLE = f"{function_schema()}.alembic_version"


class Refused(Exception):
    """A statement was not sent, because a rule refuses it; `steps` is what it would have done, a line each."""

    def __init__(self, found: "Refusals") -> None:
        super().__init__(explain([(f"it {step}", rule) for step, rule in found]))
        self.steps = tuple(dict.fromkeys(step for step, _ in found))


Ask = Callable[[], str | None]
"""Asks the database, once, what a loss takes away; None where that is nothing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Names a loss that is refused, None where it is not; why, and what makes an exception, each a sentence."""

    refused: Callable[[Loss, Ask], str | None]
    why: str
    exception: str


Refusals = Sequence[tuple[str, Rule]]
"""The steps that are refused, in words, each with its rule."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What lets a destructive step run.

    `stack` is the id of the stack that the command belongs to, which its server has as `cluster_name`; it is free to
    lose its data, but not in production. Anywhere else `confirm_database` must be the database's name, given by a
    person.
    """

    stack: str = ""
    confirm_database: str = ""

    def rules(self, connection: "psycopg.Connection[Any]", settings: Settings) -> tuple[Rule, ...]:
        """Return what destructive steps in this database are held against.

        Raises:
            MigrationError: `confirm_database` names another database.
        """
        database = connection.info.dbname
        if self.confirm_database:
            if self.confirm_database != database:
                raise MigrationError(
                    f"--confirm-database={self.confirm_database} names another database than the one that would be "
                    f"changed: {database!r} at {connection.info.host}:{connection.info.port}. Nothing was changed."
                )
            return ()
        if reason := self._reason(connection, settings):
            mean = f"If {database!r} is what you mean, repeat the command with --confirm-database={database}."
            return (Rule(_name_loss, reason, mean),)
        return ()

    def _reason(self, connection: "psycopg.Connection[Any]", settings: Settings) -> str | None:
        if settings.app_env is AppEnv.PRODUCTION:
            return "This is production (APP_ENV)"
        row = connection.execute("SELECT current_setting('cluster_name')").fetchone()
        name = row[0] if row else ""
        if not self.stack or name != self.stack:
            where = f"{connection.info.host}:{connection.info.port}"
            return f"The server at {where} is not this checkout's stack (its cluster_name is {name!r})"
        return None


def _name_loss(loss: Loss, ask: Ask) -> str | None:
    """Name a loss; most changes of a type are none, which the rows say."""
    return ask() if loss.kind is Kind.RETYPE else str(loss)


_WHY = "Data would be lost"
_ALLOW = "To give that data up, repeat the command with --allow-data-loss."
KEEP_DATA = Rule(lambda _, ask: ask(), _WHY, _ALLOW)
"""Refuses what takes away data that is there."""
KEEP_VALUES = Rule(lambda loss, ask: ask() if loss.kind in {Kind.RETYPE, Kind.CONVERT} else None, _WHY, _ALLOW)
"""Refuses only what changes values that are there without saying so: columns whose type does not hold them."""


def foreseen(connection: "psycopg.Connection[Any]", sql: str, rules: Sequence[Rule]) -> Refusals:
    """Return what of these statements would be refused as the database is now.

    A column that changes its type in a table which somebody has locked is left to the moment when it is sent.
    """

    def look(loss: Loss) -> str | None:
        try:
            return find_loss(connection, loss)
        except psycopg.errors.LockNotAvailable:
            if loss.kind is Kind.RETYPE:
                return None
            raise

    return _refusals(sql, rules, look)


def _refusals(sql: str, rules: Sequence[Rule], look: Callable[[Loss], str | None]) -> Refusals:
    asked = [(loss, cache(partial(look, loss))) for loss in losses(sql) if loss.table != _OWN_TABLE]
    found = [(rule.refused(loss, ask), rule) for loss, ask in asked for rule in rules]
    return [(step, rule) for step, rule in found if step]


def explain(refusals: Refusals) -> str:
    """Return why steps are refused, which they are, and what makes an exception: rule by rule."""
    steps: dict[Rule, list[str]] = {}
    for step, rule in dict.fromkeys(refusals):
        steps.setdefault(rule, []).append(step)
    return "\n".join(list_message(rule.why, refused, rule.exception) for rule, refused in steps.items())


@contextmanager
def guarded(connection: Connection, rules: Sequence[Rule]) -> Iterator[None]:
    """Hold each statement of the connection against the rules for a block; one that is refused is not sent.

    What is read beforehand from a migration's file can be another thing than what it does with a live connection, so
    the last word is had here.

    Raises:
        Refused: (from the statement) a rule says no.
    """

    def hold(on: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if found := _refusals(statement, rules, partial(find_loss, driver_of(on), hold=True)):
            raise Refused(found)

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
