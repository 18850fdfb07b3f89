"""What was applied, what is pending, and what is not as it was."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from infra.settings import CHECKOUT, Settings
from infra.urls import DatabaseUrl
from schema.applying import ledger
from schema.applying.changing import place_of
from schema.applying.standing import Line, standing
from schema.connect import connect
from schema.errors import MigrationError
from schema.revisions import Migrations, applied_revisions


def history(owner: DatabaseUrl, settings: Settings, *, checkout: Path = CHECKOUT) -> list[Line]:
    """Return every migration of the checkout and of the database, in the order of application.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: the migrations cannot be read.
    """
    migrations = Migrations.load(checkout)
    with connect(owner, settings, autocommit=True) as connection:
        return standing(migrations, applied_revisions(connection), ledger.read(connection))


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
            "`invoke history` lists what it knows."
        )
    return entry.content


def described(line: Line) -> dict[str, Any]:
    """Return a line as plain data; what is only known of applied migrations is null for others."""
    entry = asdict(line.entry) if line.entry else {}
    kept = ("sha256", "applied_at", "milliseconds", "applied_by", "versions")
    about = {"revision": line.revision, "file": line.file, "title": line.title, "state": line.state.value}
    return about | {name: entry.get(name) for name in kept}


def shown(lines: list[Line]) -> list[str]:
    """Return the lines for people, in columns."""
    rows = [_columns(line) for line in lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _columns(line: Line) -> tuple[str, ...]:
    name = line.file or line.revision
    if line.entry is None:
        return (line.state, name, "", "", "")
    took = "" if line.entry.milliseconds is None else f"{line.entry.milliseconds} ms"
    return (line.state, name, f"{line.entry.applied_at.astimezone():%Y-%m-%d %H:%M:%S}", took, line.entry.applied_by)
