"""Migrations that a person writes, as for data or an extension: the file, with nothing in it."""

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import cast

from alembic import command
from alembic.script import Script

from schema.autogenerate.request import Request
from schema.errors import MigrationError
from schema.revisions import Migrations


def empty(checkout: Path, request: Request) -> Path:
    """Write a migration that changes nothing, behind the last one; return its file.

    Raises:
        MigrationError: more is asked for than a title, or the migrations cannot be read or have several heads.
    """
    if request.check or not request.plain:
        raise MigrationError('With --empty nothing is compared, so a title is all: `invoke generate --empty -m "…"`.')
    migrations = Migrations.load(checkout)
    with redirect_stdout(StringIO()):  # where Alembic tells that it runs what formats the file
        made = command.revision(migrations.config, request.title, rev_id=migrations.next_revision)
    return Path(cast(Script, made).path)
