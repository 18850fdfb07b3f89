"""Apply what is pending."""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from alembic import command

from infra.settings import CHECKOUT, Settings
from infra.urls import DatabaseUrl
from schema import invalid_indexes
from schema.applying import ledger
from schema.applying.changing import Changing, Manner, changing, place_of
from schema.applying.code import code_of
from schema.applying.offline import Planned, planned
from schema.applying.recording import file_of
from schema.applying.run import Step
from schema.applying.standing import State, require_known, standing
from schema.connect import connect
from schema.errors import MigrationError
from schema.revisions import Migrations, applied_revisions, explained


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade applied, in order, and the revision the database is at now (None: there are no migrations)."""

    applied: tuple[Step, ...]
    head: str | None


def upgrade(
    owner: DatabaseUrl,
    settings: Settings,
    *,
    checkout: Path = CHECKOUT,
    manner: Manner | None = None,
    accept: str = "",
) -> Upgraded:
    """Apply what is pending, each migration in a transaction of its own, one process at a time.

    `accept` is an applied revision whose edited file is taken as it is now.

    Raises:
        DatabaseUnavailable: the server is away, goes away, or refuses the owner.
        MigrationError: the migrations cannot be read, do not fit the database, are refused, or one fails. Those before
            it stay applied; of the failing one nothing does but what an autocommit block of its own has committed.
        MigrationInterrupted: a signal ended it.
    """
    code = code_of(checkout)
    with changing(owner, settings, checkout, manner) as change:
        if accept:
            _accept(change, accept)
        change.require_known()
        pending = change.migrations.pending(change.at)
        if change.rules:
            change.refuse(planned(pending, "upgrade"), change.rules)
        done = change.run(pending, change.rules, lambda: command.upgrade(change.migrations.config, "head"))
        if (head := change.migrations.head) is not None:
            ledger.ensure(change.lock)  # what was migrated without it has none
            ledger.remember_code(change.lock, head, code)
        for index in invalid_indexes.read(change.lock):
            change.manner.say(f"index {index.name} of {index.table}: {index.wrong}. {index.fix}.")
    return Upgraded(done, head)


def plan(owner: DatabaseUrl, settings: Settings, *, checkout: Path = CHECKOUT) -> list[Planned]:
    """Return what `upgrade` would apply, in order; change nothing.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: the migrations cannot be read, or do not fit the database.
    """
    migrations, at = _read(owner, settings, checkout)
    return planned(migrations.pending(at), "upgrade")


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


def _read(owner: DatabaseUrl, settings: Settings, checkout: Path) -> tuple[Migrations, tuple[str, ...]]:
    migrations = Migrations.load(checkout)
    with connect(owner, settings, autocommit=True) as connection:
        at = applied_revisions(connection)
        require_known(migrations, standing(migrations, at, ledger.read(connection)), place_of(owner))
    return migrations, at


def _accept(change: Changing, revision: str) -> None:
    line = next((line for line in change.lines() if line.revision == revision), None)
    if line is None or line.state is not State.EDITED:
        state = line.state if line else "not a migration"
        raise MigrationError(f"There is nothing to accept: revision {revision!r} is {state}. Nothing was changed.")
    ledger.accept(change.lock, file_of(change.migrations.scripts.get_revision(revision)))
