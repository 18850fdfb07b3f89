"""A migrated database to damage, in one transaction that is rolled back, and what autogenerate makes of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.operations.ops import DowngradeOps, MigrationScript, UpgradeOps
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.dialects import postgresql

from infra.config.settings import Role, function_schema
from schema.migration.diff.rls import plugin
from schema.migration.engine import owner_engine
from schema.migration.models import load_models
from tests.kit.catalogue import OBJECTS

if TYPE_CHECKING:  # pytest rewrites the asserts of a plugin that nobody has imported before it
    from tests.kit.stack import RunningStack

metadata = load_models()


@dataclass(frozen=True, slots=True)
class Drift:
    """The owner's connection to the migrated database, and autogenerate on it."""

    connection: Connection

    @property
    def objects(self) -> list[tuple[Any, ...]]:
        """Everything that is in the database."""
        return [tuple(row) for row in self.connection.execute(text(OBJECTS))]

    def execute(self, *statements: str) -> None:
        """Run statements as the owner."""
        for statement in statements:
            self.connection.exec_driver_sql(statement)

    def generate(self, declared: MetaData = metadata) -> MigrationScript:
        """Compare the database with what is declared, as `invoke generate` does."""
        return produce_migrations(self._context(declared), declared)

    def run(self, operations: UpgradeOps | DowngradeOps) -> str:
        """Run the Python that a migration would hold; return it."""
        code = render_python_code(operations)
        names = {"op": Operations(self._context()), "sa": sqlalchemy, "postgresql": postgresql}
        exec(code.replace("\n    ", "\n"), names)  # noqa: S102 - a migration is Python that gets run
        return code

    def upgrade(self, script: MigrationScript) -> str:
        """Apply what was generated; return its code."""
        assert script.upgrade_ops is not None
        return self.run(script.upgrade_ops)

    def downgrade(self, script: MigrationScript) -> str:
        """Take back what was generated; return its code."""
        assert script.downgrade_ops is not None
        return self.run(script.downgrade_ops)

    def _context(self, declared: MetaData | None = None) -> MigrationContext:
        return MigrationContext.configure(
            self.connection,
            opts={
                "target_metadata": declared,
                "version_table_schema": function_schema(),
                "compare_server_default": True,
                "autogenerate_plugins": ("alembic.autogenerate.*", plugin.NAME),
            },
        )


@pytest.fixture
def drift(stack: "RunningStack") -> Iterator[Drift]:
    """Give the migrated database, to be damaged; nothing of that stays."""
    with owner_engine(stack.url(Role.OWNER), stack.settings).connect() as connection:
        yield Drift(connection)
        connection.rollback()


@pytest.fixture
def declared() -> MetaData:
    """Give a copy of what the models declare, to be changed."""
    copy = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        table.to_metadata(copy)
    return copy
