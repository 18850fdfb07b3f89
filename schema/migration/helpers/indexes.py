"""Build and drop indexes while others write. Migrations import this module, and it imports no model.

    from schema.migration.helpers.indexes import create_index, drop_index

    def upgrade() -> None:
        create_index("ix_users_email", "users", ["tenant_id", "email"], unique=True)

    def downgrade() -> None:
        drop_index("ix_users_email", "users")

CREATE INDEX CONCURRENTLY runs outside of any transaction, and leaves an invalid index behind when it fails (PostgreSQL
manual, CREATE INDEX: Building Indexes Concurrently). These two can be run again after any failure: what is left over is
rebuilt, what is already done is left alone. Let such a migration do nothing else, since what stands before it in the
same file is committed first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from alembic import op
from sqlalchemy import Connection, TextClause, text

from schema.errors import MigrationError

_Columns = Sequence[str | TextClause]

_STATE = text("""
    SELECT indrelid = to_regclass(:table), indisvalid AND indisready AND indislive, pg_get_indexdef(indexrelid)
    FROM pg_index WHERE indexrelid = to_regclass(:index)
""")


def create_index(name: str, table: str, columns: _Columns, **options: Any) -> None:
    """Build an index as `op.create_index` does, CONCURRENTLY.

    An invalid index of this name on this table is dropped first. A valid one is kept where it is the same index.

    Raises:
        MigrationError: there is another index of this name.
    """
    with _outside_a_transaction() as connection:
        if connection is not None and (found := _state(connection, name, table)):
            on_table, valid, definition = found
            if on_table and valid and definition == _requested_definition(connection, name, table, columns, options):
                return
            if not on_table or valid:
                raise MigrationError(
                    f"There is another index {name!r}: {definition}. Drop or rename it, and run again."
                )
            op.drop_index(name, table, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)


def drop_index(name: str, table: str) -> None:
    """Drop an index CONCURRENTLY, also one that an interrupted drop has left invalid; none is no failure."""
    with _outside_a_transaction():
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)


@contextmanager
def _outside_a_transaction() -> Iterator[Connection | None]:
    """Run a block in autocommit, and without a limit on waiting: in this way no reader and no writer is held up.

    Gives the connection, None where the SQL is only written down.
    """
    context = op.get_context()
    with context.autocommit_block():
        connection = None if context.as_sql else context.connection
        if connection is None:
            yield None
            return
        limit = connection.scalar(text("SHOW lock_timeout"))
        connection.execute(text("SET lock_timeout = 0"))
        try:
            yield connection
        finally:
            if not connection.invalidated:
                connection.execute(text("SELECT set_config('lock_timeout', :limit, false)"), {"limit": limit})


def _state(connection: Connection, name: str, table: str) -> tuple[bool, bool, str] | None:
    quoted = connection.dialect.identifier_preparer.quote
    row = connection.execute(_STATE, {"index": quoted(name), "table": quoted(table)}).one_or_none()
    return None if row is None else (row[0], row[1], _in_no_schema(row[2]))


def _requested_definition(
    connection: Connection, name: str, table: str, columns: _Columns, options: dict[str, Any]
) -> str:
    """Let the server write down the index that is asked for: on an empty table of the same columns.

    That table is temporary and hides the other by its name while it lives.
    """
    quoted = connection.dialect.identifier_preparer.quote
    connection.execute(text(f"CREATE TEMPORARY TABLE {quoted(table)} (LIKE {quoted(table)})"))
    try:
        op.create_index(name, table, columns, **options)
        found = connection.execute(_STATE, {"index": f"pg_temp.{quoted(name)}", "table": quoted(table)}).one()
    finally:
        connection.execute(text("DISCARD TEMPORARY"))
    return _in_no_schema(found[2])


def _in_no_schema(definition: str) -> str:
    """Leave out of an index's definition where its table is: the words between ON and USING."""
    before, _, after = definition.partition(" ON ")
    return f"{before} USING {after.partition(' USING ')[2]}"
