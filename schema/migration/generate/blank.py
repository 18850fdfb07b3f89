"""Migrations that a person writes, as for data or an extension: the file, with nothing in it."""

from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import cast

from alembic import command
from alembic.script import Script

from schema.errors import MigrationError
from schema.migration.branches import Applied
from schema.migration.files import Migrations, explained, whole_file
from schema.migration.generate.request import Request


def write_blank_revision(
    checkout: Path, request: Request, applied: Callable[[], Applied | None] = lambda: None
) -> Path:
    """Write a migration that changes nothing, after the last one; return its file.

    `applied` asks the database that the migration is for, whose numbers are not taken again.

    Raises:
        MigrationError: more is asked for than a title, or the migrations cannot be read or have several heads.
    """
    if request.check or not request.plain:
        raise MigrationError('With --empty nothing is compared, so a title is all: `invoke generate --empty -m "…"`.')
    migrations = Migrations.load(checkout, applied)
    number = migrations.next_above(taken.last_number if (taken := applied()) else 0)
    with (
        explained(
            lambda reason: f"The migration {request.title!r} could not be written: {reason}. Nothing was changed."
        ),
        whole_file(migrations.scripts, request.title, lambda: number),
        redirect_stdout(StringIO()),  # where Alembic tells that it runs what formats the file
    ):
        made = command.revision(migrations.config, request.title, rev_id=number)
    return Path(cast(Script, made).path)
