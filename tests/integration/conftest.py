"""An empty database and a checkout of its own, for tests that write and apply migrations."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import MetaData

from infra.settings import CHECKOUT, Settings
from infra.urls import DatabaseUrl
from schema import migrate
from schema.connect import BoundedConnection, connect
from schema.engine import owner_engine
from schema.revisions import Migrations
from tests.fixtures.catalogue import OBJECTS
from tests.fixtures.stack import RunningStack

HEAD = Migrations.load(CHECKOUT).head


@dataclass(frozen=True, slots=True)
class Scratch:
    """An empty database, the owner's connection to it, and a checkout with the project's migrations."""

    url: DatabaseUrl
    settings: Settings
    checkout: Path
    connection: BoundedConnection

    @property
    def files(self) -> dict[str, str]:
        """The migrations, as they are written."""
        return {path.name: path.read_text() for path in (self.checkout / "migrations" / "versions").glob("*.py")}

    @property
    def objects(self) -> list[tuple[Any, ...]]:
        """Everything that is in the database."""
        return self.connection.execute(OBJECTS).fetchall()

    @property
    def at(self) -> tuple[str, ...]:
        """The revisions that the database is at."""
        return migrate.current(self.url, self.settings)

    def names(self, kind: str) -> set[str]:
        """Return the names of all objects of a kind."""
        return {name for of, name, *_ in self.objects if of == kind}

    def upgrade(self) -> migrate.Upgraded:
        """Apply what is pending."""
        return migrate.upgrade(self.url, self.settings, checkout=self.checkout)

    def generate(self, message: str, declared: MetaData | None = None) -> Path | None:
        """Write the migration to what is declared."""
        return migrate.generate(self.url, self.settings, message, checkout=self.checkout, metadata=declared)

    def downgrade(self, to: str) -> None:
        """Take migrations back."""
        migrations = Migrations.load(self.checkout)
        with owner_engine(self.url, self.settings).connect() as connection:
            migrations.config.attributes["connection"] = connection
            command.downgrade(migrations.config, to)

    def write(self, body: str) -> None:
        """Add a migration behind the others, by hand."""
        (self.checkout / "migrations" / "versions" / "9999_by_hand.py").write_text(
            f'"""By hand."""\n\nfrom alembic import op\n\nrevision = "9999"\ndown_revision = "{HEAD}"\n\n\n'
            f"def upgrade():\n    {body}\n\n\ndef downgrade():\n    pass\n"
        )


@pytest.fixture
def scratch(scratch_database: DatabaseUrl, stack: RunningStack, tmp_path: Path) -> Iterator[Scratch]:
    """Give an empty database and a checkout to migrate it from."""
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    with connect(scratch_database, stack.settings, autocommit=True) as connection:
        yield Scratch(scratch_database, stack.settings, tmp_path, connection)
