"""One database for all cases of autogenerate: each begins with an empty schema public."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.operations.ops import MigrationScript
from sqlalchemy import Connection, MetaData
from sqlalchemy.dialects import postgresql

from infra.settings import FUNCTION_SCHEMA, BackendChoice, Role
from schema.autogenerate.plugin import PLUGINS
from schema.autogenerate.rendering import render_item
from schema.engine import owner_engine
from schema.functions import FUNCTIONS
from schema.rls.catalog import run_script
from schema.shadow import shadow_database
from tests.fixtures.stack import RunningStack

# Whatever a model can declare, but for the order of columns.
SHAPE = """
    SELECT 'column', attrelid::regclass || '.' || attname, format_type(atttypid, atttypmod) || ' ' || attnotnull,
           concat(pg_get_expr(adbin, adrelid), ' / ', attgenerated, attidentity, collname,
                  col_description(attrelid, attnum))
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    LEFT JOIN pg_collation l ON l.oid = attcollation
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm') AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'constraint', conrelid::regclass || '.' || conname, '', pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'index', indexrelid::regclass::text, '', pg_get_indexdef(indexrelid)
    FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'enum', enumtypid::regtype::text, '', string_agg(enumlabel, ' ' ORDER BY enumsortorder)
    FROM pg_enum GROUP BY enumtypid
    UNION ALL
    SELECT 'relation', oid::regclass::text, relkind::text || coalesce(reloptions::text, ''),
           concat(CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END, obj_description(oid, 'pg_class'))
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'sequence', seqrelid::regclass::text, format_type(seqtypid, NULL),
           concat_ws(' ', seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle) FROM pg_sequence
    ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Written:
    """A migration as it was generated: the Python of both its functions."""

    script: MigrationScript
    upgrade: str
    downgrade: str

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to write."""
        assert self.script.upgrade_ops is not None
        return self.script.upgrade_ops.is_empty()


@dataclass(frozen=True, slots=True)
class Cases:
    """The owner's connection, and migrations that are generated and run on it as the commands do."""

    connection: Connection

    @property
    def shape(self) -> list[tuple[Any, ...]]:
        """All that is declared in schema public."""
        return [tuple(row) for row in self.ask(SHAPE)]

    def reset(self) -> None:
        """Empty schema public."""
        self.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")

    def execute(self, *statements: str) -> None:
        """Run statements and commit them."""
        run_script(self.connection, statements)
        self.connection.commit()

    def ask(self, question: str) -> list[Any]:
        """Return all rows of an answer."""
        *before, last = question.split("; ")
        for statement in before:
            self.connection.exec_driver_sql(statement)
        rows = list(self.connection.exec_driver_sql(last))
        self.connection.commit()
        return rows

    def make(self, declared: MetaData) -> list[tuple[Any, ...]]:
        """Return the shape that SQLAlchemy itself gives to what is declared."""
        self.reset()
        declared.create_all(self.connection, checkfirst=False)
        self.connection.commit()
        made = self.shape
        self.reset()
        return made

    def generate(self, declared: MetaData) -> Written:
        """Compare the database with what is declared, as `invoke generate` does."""
        context = self._context(declared)
        script = produce_migrations(context, declared)
        self.connection.rollback()
        assert script.upgrade_ops is not None
        assert script.downgrade_ops is not None
        upgrade = render_python_code(script.upgrade_ops, render_item=render_item, migration_context=context)
        downgrade = render_python_code(script.downgrade_ops, render_item=render_item, migration_context=context)
        return Written(script, upgrade, downgrade)

    def run(self, code: str) -> None:
        """Run the Python of a migration in a transaction of its own."""
        context = self._context()
        names = {"op": Operations(context), "sa": sqlalchemy, "postgresql": postgresql}
        with context.begin_transaction(_per_migration=True):
            exec(f"def migrate():\n    {code}\n    pass\nmigrate()", names)  # noqa: S102 - a migration is Python that gets run

    def _context(self, declared: MetaData | None = None) -> MigrationContext:
        return MigrationContext.configure(
            self.connection,
            opts={
                "target_metadata": declared,
                "version_table_schema": FUNCTION_SCHEMA,
                "transaction_per_migration": True,
                "compare_server_default": True,
                "autogenerate_plugins": PLUGINS,
            },
        )


@contextmanager
def _database(stack: RunningStack) -> Iterator[Connection]:
    """Give the owner's connection to a database that has the functions of the product and no table."""
    with (
        shadow_database(stack.url(Role.OWNER), stack.settings) as url,
        owner_engine(url, stack.settings).connect() as connection,
    ):
        run_script(connection, [function.create for function in FUNCTIONS])
        connection.commit()
        yield connection


@pytest.fixture(scope="session")
def docker_database(docker_stack: RunningStack) -> Iterator[Connection]:
    """Give the database in which the cases run, on Docker."""
    with _database(docker_stack) as connection:
        yield connection


@pytest.fixture(scope="session")
def embedded_database(embedded_stack: RunningStack) -> Iterator[Connection]:
    """Give the database in which the cases run, as a plain process."""
    with _database(embedded_stack) as connection:
        yield connection


@pytest.fixture
def cases(backend: BackendChoice, request: pytest.FixtureRequest) -> Cases:
    """Give the database with an empty schema public."""
    connection: Connection = request.getfixturevalue(f"{backend}_database")
    connection.rollback()
    found = Cases(connection)
    found.reset()
    return found
