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

from infra.config.identity import state_directory
from infra.config.settings import CHECKOUT, BackendChoice, Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.migration.apply.guard import Guard
from schema.migration.apply.history import history
from schema.migration.apply.rollback import rollback
from schema.migration.apply.run import LockRetry, Step
from schema.migration.apply.session import RunOptions
from schema.migration.apply.status import State
from schema.migration.apply.upgrade import Upgraded, upgrade
from schema.migration.engine import owner_engine
from schema.migration.files import Migrations, applied_revisions
from schema.migration.generate.command import generate
from schema.migration.generate.request import Request
from tests.kit.catalogue import OBJECTS
from tests.kit.checkout import Checkout, copy_parts
from tests.kit.stack import RunningStack

IMPATIENT = LockRetry(timedelta(milliseconds=500), attempts=2, pause=timedelta(milliseconds=10))
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

    def run_options(self, **changed: Any) -> RunOptions:
        """Say how migrations are run, as on a stack of the checkout's own."""
        return replace(RunOptions(guard=Guard(self.stack_id), lock_retry=IMPATIENT), **changed)

    def upgrade(self, *, allow_data_loss: bool = False, **changed: Any) -> Upgraded:
        """Apply what is pending."""
        run_options = self.run_options(**changed)
        return upgrade(
            self.url, self.settings, checkout=self.checkout, run_options=run_options, allow_data_loss=allow_data_loss
        )

    def rollback(self, steps: int = 1, *, allow_data_loss: bool = False, **changed: Any) -> tuple[Step, ...]:
        """Take migrations back, as `invoke rollback` does."""
        run_options = self.run_options(**changed)
        return rollback(
            self.url,
            self.settings,
            steps,
            checkout=self.checkout,
            run_options=run_options,
            allow_data_loss=allow_data_loss,
        )

    def generate(self, message: str, declared: MetaData | None = None, **said: Any) -> Path | None:
        """Write the migration to what is declared."""
        request = Request(message, **said)
        return generate(self.url, self.settings, request, checkout=self.checkout, metadata=declared)

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
            '"""By hand."""\n\nfrom alembic import op\n\n'
            "from schema.migration.helpers.indexes import create_index, drop_index\n\n"
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
    copy_parts(scratch.checkout, "tasks.py", ".env.example", "infra", "schema")
    checkout = Checkout(scratch.checkout, backend, {"DATABASE_OWNER_URL": scratch.url.libpq()})
    yield checkout
    shutil.rmtree(state_directory(checkout.project), ignore_errors=True)
