"""What was applied, what is pending, and what is not as it was."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from infra.config.settings import CHECKOUT, Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import connect
from schema.errors import MigrationError
from schema.migration.apply import ledger
from schema.migration.apply.applied import ask
from schema.migration.apply.session import place_of
from schema.migration.apply.status import MigrationStatus, migration_status
from schema.migration.files import Migrations, applied_revisions


def history(owner: DatabaseUrl, settings: Settings, *, checkout: Path = CHECKOUT) -> list[MigrationStatus]:
    """Return every migration of the checkout and of the database, in the order of application.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: the migrations cannot be read.
    """
    migrations = Migrations.load(checkout, lambda: ask(owner, settings))
    with connect(owner, settings, autocommit=True) as connection:
        return migration_status(migrations, applied_revisions(connection), ledger.read(connection))


def content(owner: DatabaseUrl, settings: Settings, revision: str) -> str:
    """Return the text of a migration's file as it was applied.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: the ledger does not know the revision.
    """
    with connect(owner, settings, autocommit=True) as connection:
        entry = ledger.read(connection).get(revision)
    if entry is None:
        raise MigrationError(
            f"The ledger of {place_of(owner)} does not know revision {revision!r}; "
            "`invoke history` lists what it knows.",
            revision=revision,
        )
    return entry.content


def describe(line: MigrationStatus) -> dict[str, Any]:
    """Return a line as plain data; what is only known of applied migrations is null for others."""
    entry = asdict(line.entry) if line.entry else {}
    kept = ("sha256", "applied_at", "milliseconds", "applied_by", "versions")
    about = {"revision": line.revision, "file": line.file, "title": line.title, "state": line.state.value}
    return about | {name: entry.get(name) for name in kept}


HEADER = ("state", "migration", "applied", "took", "by")


def row(line: MigrationStatus) -> tuple[str, ...]:
    """Return a line for people, in columns."""
    name = line.file or line.revision
    if line.entry is None:
        return (line.state, name, "", "", "")
    if line.entry.file != name:
        name += f", applied as {line.entry.file}"
    took = "" if line.entry.milliseconds is None else f"{line.entry.milliseconds} ms"
    return (line.state, name, f"{line.entry.applied_at.astimezone():%Y-%m-%d %H:%M:%S}", took, line.entry.applied_by)
