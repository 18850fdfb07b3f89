"""Apply what is pending."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import psycopg
from alembic import command
from alembic.script import Script

from infra.config.extensions import declared_extensions
from infra.config.settings import CHECKOUT, Settings
from infra.config.urls import DatabaseUrl
from schema.admin.extensions import missing_extensions
from schema.client.connection import BoundedConnection, connect
from schema.errors import ExtensionError, MigrationError
from schema.migration import invalid_indexes
from schema.migration.apply import ledger
from schema.migration.apply.applied import ask
from schema.migration.apply.data_loss import find_loss
from schema.migration.apply.destructive_sql import Kind, Loss
from schema.migration.apply.fingerprint import migration_code_digest
from schema.migration.apply.guard import KEEP_VALUES
from schema.migration.apply.plan import Planned, planned
from schema.migration.apply.recording import file_of
from schema.migration.apply.run import Step
from schema.migration.apply.session import MigrationSession, RunOptions, changing, place_of
from schema.migration.apply.status import State, migration_status, require_known
from schema.migration.files import Migrations, applied_revisions, explained
from schema.migration.settings import pin

_RETYPING = re.compile(r"\balter_column\b|\bTYPE\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade applied, in order, and the revision the database is at now (None: there are no migrations)."""

    applied: tuple[Step, ...]
    head: str | None


@dataclass(frozen=True, slots=True)
class Prospect:
    """A migration that would be applied: its file, and what it takes away, in words."""

    file: str
    losses: tuple[str, ...]


def upgrade(
    owner: DatabaseUrl,
    settings: Settings,
    *,
    checkout: Path = CHECKOUT,
    run_options: RunOptions | None = None,
    accept: str = "",
    allow_data_loss: bool = False,
) -> Upgraded:
    """Apply what is pending, each migration in a transaction of its own, one process at a time.

    `accept` is an applied revision whose edited file is taken as it is now. A column whose type is to change while rows
    would not keep their values is refused unless `allow_data_loss`.

    Raises:
        DatabaseUnavailable: the server is away, goes away, or refuses the owner.
        ExtensionError: the database lacks an extension that pyproject.toml declares.
        MigrationError: the migrations cannot be read, do not fit the database, are refused, or one fails. Those before
            it stay applied; of the failing one nothing does but what an autocommit block of its own has committed.
        MigrationInterrupted: a signal ended it.
    """
    code = migration_code_digest(checkout)
    with changing(owner, settings, checkout, run_options) as change:
        if accept:
            _accept(change, accept)
        change.require_known()
        pending = change.migrations.pending(change.at)
        if pending:
            _require_extensions(change.lock, declared_extensions(checkout))
        rules = change.rules if allow_data_loss else (*change.rules, KEEP_VALUES)
        # Where types are all that matters, most files need not be read twice.
        change.refuse(planned(pending if change.rules else filter(_retypes, pending), "upgrade"), rules)
        done = change.run(pending, rules, lambda: command.upgrade(change.migrations.config, "head"))
        if (head := change.migrations.head) is not None:
            ledger.ensure(change.lock)  # what was migrated without it has none
            ledger.remember_code(change.lock, head, code)
        for index in invalid_indexes.read(change.lock):
            change.run_options.say(f"index {index.name} of {index.table}: {index.wrong}. {index.fix}.")
    return Upgraded(done, head)


def plan(owner: DatabaseUrl, settings: Settings, *, checkout: Path = CHECKOUT) -> list[Prospect]:
    """Return what `upgrade` would apply, in order; change nothing.

    Where a column's type is to change, its rows are looked at as they are now.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: the migrations cannot be read, or do not fit the database.
    """
    migrations, at = _read(owner, settings, checkout)
    with connect(owner, settings, autocommit=True, parameters={"lock_timeout": "3s"}) as connection:
        pin(connection)
        return [_prospect(connection, step) for step in planned(migrations.pending(at), "upgrade")]


def script(owner: DatabaseUrl, settings: Settings, *, checkout: Path = CHECKOUT) -> str:
    """Return the SQL of what `upgrade` would apply, with what it writes to Alembic's table and the ledger.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: as for `plan`, or a migration cannot be written down, because it asks the database.
    """
    migrations, at = _read(owner, settings, checkout)
    if not migrations.pending(at):
        return ""
    migrations.config.output_buffer = buffer = StringIO()
    with explained(lambda reason: f"What is pending cannot be written down as SQL: {reason}"):
        command.upgrade(migrations.config, f"{at[0] if at else 'base'}:head", sql=True)
    return buffer.getvalue()


def _prospect(connection: BoundedConnection, step: Planned) -> Prospect:
    if step.sql is None:
        return Prospect(step.file, ("what it drops is known when it runs",))
    named = (_name_loss(connection, loss) for loss in step.losses)
    return Prospect(step.file, tuple(dict.fromkeys(name for name in named if name)))


def _name_loss(connection: BoundedConnection, loss: Loss) -> str | None:
    if loss.kind is not Kind.RETYPE:
        return str(loss)
    try:
        return find_loss(connection, loss)
    except psycopg.errors.LockNotAvailable:
        return f"{loss}, whose rows are locked by somebody else and were not looked at"


def _read(owner: DatabaseUrl, settings: Settings, checkout: Path) -> tuple[Migrations, tuple[str, ...]]:
    migrations = Migrations.load(checkout, lambda: ask(owner, settings))
    with connect(owner, settings, autocommit=True) as connection:
        at = applied_revisions(connection)
        require_known(migrations, migration_status(migrations, at, ledger.read(connection)), place_of(owner))
    return migrations, at


def _retypes(script: Script) -> bool:
    """Return whether a migration's text speaks of changing a type; what it makes up is looked at when it is sent."""
    return bool(_RETYPING.search(Path(script.path).read_text(encoding="utf-8")))


def _require_extensions(connection: BoundedConnection, extensions: Sequence[str]) -> None:
    """Refuse to begin where a declared extension is not there: a migration may need it, and its owner may not make it.

    Raises:
        ExtensionError: names the first that is missing.
    """
    for name in missing_extensions(connection, extensions):
        raise ExtensionError(
            f"Database {connection.info.dbname} at {connection.info.host}:{connection.info.port} has no extension "
            f"{name}, which pyproject.toml declares. Nothing was migrated. Run `invoke up` for the local stack, or "
            "`invoke bootstrap` as the server's administrator, then `invoke migrate` again.",
            extension=name,
        )


def _accept(change: MigrationSession, revision: str) -> None:
    line = next((line for line in change.lines() if line.revision == revision), None)
    if line is None or line.state is not State.EDITED:
        state = line.state if line else "not a migration"
        raise MigrationError(
            f"There is nothing to accept: revision {revision!r} is {state}. Nothing was changed.", revision=revision
        )
    ledger.accept(change.lock, file_of(change.migrations.scripts.get_revision(revision)))
