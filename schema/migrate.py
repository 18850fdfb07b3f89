"""Write migrations from the models."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from alembic import command
from alembic.operations.ops import MigrationScript
from alembic.script import Script
from sqlalchemy import Connection, MetaData

from infra.settings import CHECKOUT, Settings
from infra.urls import DatabaseUrl
from schema.applying.run import Run
from schema.engine import owner_engine
from schema.errors import MigrationError
from schema.revisions import Migrations, explained
from schema.shadow import shadow_database

TITLE_LENGTH = 100
"""Longest title in characters; with indentation and quotes it fits the line of a docstring."""


def generate(
    owner: DatabaseUrl, settings: Settings, message: str, *, checkout: Path = CHECKOUT, metadata: MetaData | None = None
) -> Path | None:
    """Write the migration from what the migrations make to what the models declare; None where these agree.

    The two are compared in a shadow database, so the state of the development database does not count and nothing
    of a tenant's is read. `metadata` is what is declared: the product's models unless given.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: the message is no title, the migrations cannot be read or applied, or no database can be made.
    """
    title = _title(message)
    migrations = Migrations.load(checkout)
    with shadow_database(owner, settings) as shadow, owner_engine(shadow, settings).connect() as connection:
        _apply(migrations, connection)
        path = _write(migrations, connection, title, _models() if metadata is None else metadata)
    if path is not None:
        _format(path)
    return path


def _apply(migrations: Migrations, connection: Connection) -> None:
    """Make a shadow database what the migrations make; it is nobody's, so no rule guards it."""
    Run(migrations, connection, migrations.pending(())).execute(lambda: command.upgrade(migrations.config, "head"))


def _title(message: str) -> str:
    # A docstring with neither escapes nor its own quotes inside.
    title = " ".join(message.split()).replace('"', "'").replace("\\", "/")
    if not re.search(r"\w", title) or len(title) > TITLE_LENGTH:
        raise MigrationError(
            f"A migration needs a title of 1 to {TITLE_LENGTH} characters that says what it changes, such as "
            '`invoke generate -m "add invoices"`.'
        )
    return title


def _models() -> MetaData:
    from schema.models import metadata  # applying migrations needs no models

    return metadata


def _write(migrations: Migrations, connection: Connection, title: str, metadata: MetaData) -> Path | None:
    migrations.config.attributes.update(connection=connection, metadata=metadata)
    with explained(lambda reason: f"The migration {title!r} could not be written: {reason}"):
        script = command.revision(
            migrations.config,
            title,
            autogenerate=True,
            rev_id=migrations.next_revision,
            process_revision_directives=_unless_empty,
        )
    return Path(script.path) if isinstance(script, Script) else None


def _unless_empty(_context: Any, _revision: Any, directives: list[MigrationScript]) -> None:
    if cast(Any, directives[0].upgrade_ops).is_empty():
        directives.clear()


def _format(path: Path) -> None:
    """Lay the file out as the project's other code, where ruff is installed; what it holds is the same without."""
    if find_spec("ruff"):
        subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", path], check=False, capture_output=True)
