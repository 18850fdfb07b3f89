"""One database for all cases of autogenerate: each begins with an empty schema public."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
import sqlalchemy
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.operations.ops import DowngradeOps, MigrationScript, UpgradeOps
from sqlalchemy import Connection, MetaData
from sqlalchemy.dialects import postgresql

from infra.config.settings import BackendChoice, Role, function_schema
from schema.migration.diff.plugin import SIDES, options
from schema.migration.diff.rendering import render_item
from schema.migration.diff.rls.catalog import run_script
from schema.migration.diff.snapshots import SchemaSnapshots
from schema.migration.engine import owner_engine
from schema.migration.generate.renames import Rename, carry_out
from schema.migration.generate.writer import Generation, Request
from schema.migration.helpers.sql_type import SqlType
from schema.migration.shadow import shadow_database
from schema.tenancy.functions import FUNCTIONS
from tests.kit.catalogue import OBJECTS

if TYPE_CHECKING:  # pytest rewrites the asserts of a plugin that nobody has imported before it
    from tests.kit.stack import RunningStack

# Whatever a model can declare, but for the order of columns.
SHAPE = """
    SELECT 'column', attrelid::regclass || '.' || attname, format_type(atttypid, atttypmod) || ' ' || attnotnull,
           concat(pg_get_expr(adbin, adrelid), ' / ', attgenerated, attidentity, collname,
                  col_description(attrelid, attnum))
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    LEFT JOIN pg_collation l ON l.oid = attcollation
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm') AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'constraint', concat_ws('.', conrelid::regclass, CASE WHEN conparentid = 0 THEN conname END), '',
           pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'index', indexrelid::regclass::text, '', pg_get_indexdef(indexrelid)
    FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'enum', enumtypid::regtype::text, '', string_agg(enumlabel, ' ' ORDER BY enumsortorder)
    FROM pg_enum GROUP BY enumtypid
    UNION ALL
    SELECT 'domain', oid::regtype::text, format_type(typbasetype, typtypmod) || ' ' || typnotnull,
           concat(pg_get_expr(typdefaultbin, 0), ' / ', typcollation::regcollation) FROM pg_type
    WHERE typtype = 'd' AND typnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'relation', oid::regclass::text,
           concat(relkind, relpersistence, ARRAY(SELECT unnest(reloptions) ORDER BY 1)),
           concat(CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END, obj_description(oid, 'pg_class'))
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'sequence', seqrelid::regclass::text, format_type(seqtypid, NULL),
           concat_ws(' ', seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle) FROM pg_sequence
    ORDER BY 1, 2, 3, 4
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

    @property
    def catalogue(self) -> list[Any]:
        """All that is in the database, policies and rights as well, but for the places of columns."""
        return [*self.shape, *(row for row in self.ask(OBJECTS) if row[0] != "column")]

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

    def ask_plainly(self, question: str) -> list[Any]:
        """Return all rows of the answer to one question in which nothing is a parameter."""
        found = list(self.connection.exec_driver_sql(question, execution_options={"no_parameters": True}))
        self.connection.commit()
        return found

    def make(self, declared: MetaData) -> list[tuple[Any, ...]]:
        """Return the shape that SQLAlchemy itself gives to what is declared."""
        self.reset()
        declared.create_all(self.connection, checkfirst=False)
        self.connection.commit()
        made = self.shape
        self.reset()
        return made

    def generate(self, declared: MetaData, renames: Iterable[Rename] = ()) -> Written:
        """Compare the database with what is declared, as `invoke generate` does.

        What it leaves out as alike must make no difference to what is found.
        """
        context = self._context(declared)
        renamed = [carry_out(self.connection, rename, declared) for rename in renames]
        script = produce_migrations(context, declared)
        sides: SchemaSnapshots = context.opts[SIDES]
        if not all(sides.include_name(table, "table", {}) for table in sides.actual.tables):
            every = produce_migrations(self._context(declared, **_everything(sides)), declared)
            assert _code(script.upgrade_ops, context) == _code(every.upgrade_ops, context)
        self.connection.rollback()
        assert script.upgrade_ops is not None
        assert script.downgrade_ops is not None
        generation = Generation(cast(Any, None), self.connection, declared, Request(), renamed)
        generation._put_renames(script.upgrade_ops, script.downgrade_ops)
        return Written(script, _code(script.upgrade_ops, context), _code(script.downgrade_ops, context))

    def run(self, code: str) -> None:
        """Run the Python of a migration in a transaction of its own."""
        context = self._context()
        names = {"op": Operations(context), "sa": sqlalchemy, "postgresql": postgresql, "SqlType": SqlType}
        with context.begin_transaction(_per_migration=True):
            exec(f"def migrate():\n    {code}\n    pass\nmigrate()", names)  # noqa: S102 - a migration is Python that gets run

    def _context(self, declared: MetaData | None = None, **told: Any) -> MigrationContext:
        return MigrationContext.configure(
            self.connection,
            opts={
                "target_metadata": declared,
                "version_table_schema": function_schema(),
                "transaction_per_migration": True,
                "compare_server_default": True,
                **options(),
                **told,
            },
        )


class _Again(SchemaSnapshots):
    """Both sides of a comparison, for another one of the same: the catalogue is read once."""

    def __init__(self, sides: SchemaSnapshots) -> None:
        vars(self).update(vars(sides))

    def read(self, connection: Connection, metadata: MetaData) -> None:
        """Keep what was read."""


def _everything(sides: SchemaSnapshots) -> dict[str, Any]:
    """Return the options with which Alembic looks at every table, but partitions and those of extensions."""

    def look(found: Any, name: str | None, kind: str, *more: Any) -> bool:
        return (
            name not in sides.actual.partitions if kind == "table" else sides.include_object(found, name, kind, *more)
        )

    return {
        SIDES: _Again(sides),
        "include_name": lambda name, kind, _: kind != "table" or name in sides.actual.tables,
        "include_object": look,
    }


def _code(operations: UpgradeOps | DowngradeOps | None, context: MigrationContext) -> str:
    assert operations is not None
    return render_python_code(operations, render_item=render_item, migration_context=context)


@contextmanager
def _database(stack: "RunningStack") -> Iterator[Connection]:
    """Give the owner's connection to a database that has the functions of the product and no table."""
    with (
        shadow_database(stack.url(Role.OWNER), stack.settings) as url,
        owner_engine(url, stack.settings).connect() as connection,
    ):
        run_script(connection, [function.create for function in FUNCTIONS])
        connection.commit()
        yield connection


@pytest.fixture(scope="session")
def docker_database(docker_stack: "RunningStack") -> Iterator[Connection]:
    """Give the database in which the cases run, on Docker."""
    with _database(docker_stack) as connection:
        yield connection


@pytest.fixture(scope="session")
def embedded_database(embedded_stack: "RunningStack") -> Iterator[Connection]:
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
