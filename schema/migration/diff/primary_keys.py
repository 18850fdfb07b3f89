"""Primary keys that changed: Alembic compares none (manual: What does Autogenerate Detect), so each is refused here."""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, Table, text

from schema.errors import MigrationError

_KEYS = """
    SELECT relname, coalesce(conname, ''), ARRAY(
        SELECT attname::text FROM unnest(conkey) WITH ORDINALITY k (n, place)
        JOIN pg_attribute ON attrelid = c.oid AND attnum = n ORDER BY place
    )
    FROM pg_class c LEFT JOIN pg_constraint o ON conrelid = c.oid AND contype = 'p'
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
"""

Key = tuple[str, tuple[str, ...]]
"""The name of a primary key and its columns in their order; empty where a table has none."""


def read_primary_keys(connection: Connection) -> dict[str, Key]:
    """Return the primary key of each table in schema public."""
    rows = connection.execute(text(_KEYS)).all()
    return {table: (name, tuple(columns)) for table, name, columns in rows}


def refuse_changed(actual: Mapping[str, Key], tables: Iterable[Table]) -> None:
    """Refuse primary keys that are declared otherwise than they are; of tables that are added or dropped, none is.

    Foreign keys that reference a key are dropped before it and recreated after it, and rows have to fit the new one:
    that is for a person to write.

    Raises:
        MigrationError: names the first such table, and what to write.
    """
    for table in tables:
        if table.schema is None and not table.is_view and table.name in actual:
            name, columns = actual[table.name]
            if columns not in _possible_orders(table):
                raise MigrationError(_message(table, name, columns), tables=(table.name,))


def _possible_orders(table: Table) -> Collection[tuple[str, ...]]:
    """Return the orders of the columns in which the key may be made: CREATE TABLE puts one that counts first."""
    key = table.primary_key
    return {tuple(column.name for column in columns) for columns in (key.columns, key.columns_autoinc_first)}


def _message(table: Table, name: str, columns: tuple[str, ...]) -> str:
    wanted = [column.name for column in table.primary_key.columns]
    words = [f'op.drop_constraint("{name}", "{table.name}", type_="primary")'] if columns else []
    if wanted:
        made = table.primary_key.name or f"pk_{table.name}"
        listed = ", ".join(f'"{column}"' for column in wanted)
        words.append(f'op.create_primary_key("{made}", "{table.name}", [{listed}])')
    return (
        f"The primary key of {table.name} changes from {_describe(columns)} to {_describe(wanted)}, and generate does "
        "not write that: the foreign keys that reference it have to go before it and come back. Fill a migration of "
        f"`invoke generate --empty`, with {' and '.join(words)} between them and with the columns that it needs, and "
        "generate the rest after it. Nothing was written."
    )


def _describe(columns: Collection[str]) -> str:
    return f"({', '.join(columns)})" if columns else "none"
