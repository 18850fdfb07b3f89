"""An empty database and a checkout of its own, for tests that write and apply migrations."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData

from infra.settings import CHECKOUT, BackendChoice, Settings
from infra.state import state_directory
from infra.urls import DatabaseUrl
from schema import migrate
from schema.applying.changing import Manner
from schema.applying.guard import Guard
from schema.applying.history import history
from schema.applying.rollback import rollback
from schema.applying.run import Patience, Step
from schema.applying.standing import State
from schema.applying.upgrade import Upgraded, upgrade
from schema.autogenerate.request import Request
from schema.connect import BoundedConnection, connect
from schema.engine import owner_engine
from schema.revisions import Migrations, applied_revisions
from tests.fixtures.catalogue import OBJECTS
from tests.fixtures.checkout import Checkout
from tests.fixtures.stack import RunningStack

IMPATIENT = Patience(timedelta(milliseconds=500), attempts=2, pause=timedelta(milliseconds=10))
HEAD = Migrations.load(CHECKOUT).head


@dataclass(frozen=True, slots=True)
class Scratch:
    """An empty database, the owner's connection to it, and a checkout with the project's migrations."""

    url: DatabaseUrl
    settings: Settings
    checkout: Path
    connection: BoundedConnection
    stack_id: str

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
        return applied_revisions(self.connection)

    def names(self, kind: str) -> set[str]:
        """Return the names of all objects of a kind."""
        return {name for of, name, *_ in self.objects if of == kind}

    def manner(self, **changed: Any) -> Manner:
        """Say how migrations are run, as on a stack of the checkout's own."""
        return replace(Manner(guard=Guard(self.stack_id), patience=IMPATIENT), **changed)

    def upgrade(self, **changed: Any) -> Upgraded:
        """Apply what is pending."""
        return upgrade(self.url, self.settings, checkout=self.checkout, manner=self.manner(**changed))

    def rollback(self, steps: int = 1, *, allow_data_loss: bool = False, **changed: Any) -> tuple[Step, ...]:
        """Take migrations back, as `invoke rollback` does."""
        manner = self.manner(**changed)
        return rollback(
            self.url, self.settings, steps, checkout=self.checkout, manner=manner, allow_data_loss=allow_data_loss
        )

    def generate(self, message: str, declared: MetaData | None = None, **said: Any) -> Path | None:
        """Write the migration to what is declared."""
        request = Request(message, **said)
        return migrate.generate(self.url, self.settings, request, checkout=self.checkout, metadata=declared)

    def downgrade(self, to: str) -> None:
        """Take migrations back."""
        self._move(command.downgrade, to)

    def upgrade_to(self, revision: str) -> None:
        """Apply migrations up to one."""
        self._move(command.upgrade, revision)

    def _move(self, move: Callable[[Config, str], None], to: str) -> None:
        migrations = Migrations.load(self.checkout)
        with owner_engine(self.url, self.settings).connect() as connection:
            migrations.config.attributes["connection"] = connection
            move(migrations.config, to)

    def write(
        self, body: str, downgrade: str = "pass", number: int = 9999, follows: str | tuple[str, ...] | None = HEAD
    ) -> Path:
        """Add a migration behind another, by hand; a number of its own gives each a file of its own."""
        path = self.checkout / "migrations" / "versions" / f"{number}_by_hand.py"
        path.write_text(
            '"""By hand."""\n\nfrom alembic import op\n\nfrom schema.concurrently import create_index, drop_index\n\n'
            f'revision = "{number}"\ndown_revision = {follows!r}\n\n\n'
            f"def upgrade():\n    {body}\n\n\ndef downgrade():\n    {downgrade}\n"
        )
        return path

    @property
    def lines(self) -> dict[str, State]:
        """Every migration's state, as `invoke history` shows it."""
        return {line.revision: line.state for line in history(self.url, self.settings, checkout=self.checkout)}

    def sign_up(self, slug: str = "acme", email: str = "ada@example.com") -> UUID:
        """Make a tenant with one user."""
        tenant = uuid4()
        with self.connection.transaction():
            self.connection.execute("SELECT set_config('app.tenant_id', %s, true)", [str(tenant)])
            self.connection.execute(
                "INSERT INTO tenants (tenant_id, name, slug) VALUES (%s, %s, %s)", [tenant, slug, slug]
            )
            self.connection.execute(
                "INSERT INTO users (tenant_id, external_id, email) VALUES (%s, %s, %s)", [tenant, slug, email]
            )
        return tenant


@pytest.fixture
def scratch(scratch_database: DatabaseUrl, stack: RunningStack, tmp_path: Path) -> Iterator[Scratch]:
    """Give an empty database and a checkout to migrate it from."""
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    with connect(scratch_database, stack.settings, autocommit=True) as connection:
        yield Scratch(scratch_database, stack.settings, tmp_path, connection, stack.project.id)


@pytest.fixture
def commands(scratch: Scratch, backend: BackendChoice) -> Iterator[Checkout]:
    """Give the command line on the empty database; what is written to the checkout is what it runs."""
    for part in ("tasks.py", ".env.example"):
        shutil.copy(CHECKOUT / part, scratch.checkout)
    for part in ("infra", "schema"):
        shutil.copytree(CHECKOUT / part, scratch.checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    checkout = Checkout(scratch.checkout, backend, {"DATABASE_OWNER_URL": scratch.url.libpq()})
    yield checkout
    shutil.rmtree(state_directory(checkout.project), ignore_errors=True)
