"""What models may declare and the migrations do not serve: refused by name, with what to write instead."""

from collections.abc import Collection, Iterator

from sqlalchemy import Connection, MetaData, text

from schema.errors import MigrationError
from schema.migration.diff.rls.catalog import PROBE

# The tables that a materialized view selects from, over other views as well.
_MATERIALIZED = """
    WITH RECURSIVE selected AS (
        SELECT v.oid AS view, v.relname, refobjid FROM pg_class v
        JOIN pg_rewrite r ON ev_class = v.oid
        JOIN pg_depend d ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass
         AND refclassid = 'pg_class'::regclass AND refobjid <> v.oid
        WHERE v.relkind = 'm' AND v.relnamespace = to_regnamespace(:schema)
        UNION
        SELECT view, relname, d.refobjid FROM selected
        JOIN pg_rewrite r ON ev_class = selected.refobjid
        JOIN pg_depend d ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass
         AND d.refclassid = 'pg_class'::regclass
    )
    SELECT DISTINCT selected.relname, c.relname FROM selected JOIN pg_class c ON c.oid = refobjid
    WHERE c.relkind IN ('r', 'p') ORDER BY 1, 2
"""


def refuse_other_schemas(metadata: MetaData) -> None:
    """Refuse what is declared outside schema public, which the migrations, rights and policies are about.

    Raises:
        MigrationError: names each table, sequence and type, and what to write.
    """
    found = [f"{kind} {schema}.{name}" for kind, schema, name in _placed(metadata) if schema]
    if found:
        raise MigrationError(
            f"The models declare {', '.join(dict.fromkeys(found))}, and tables, sequences and types are made in schema "
            "public alone, which needs no naming: leave `schema` out, and put a prefix before the name "
            "(billing_items) where names would meet. Nothing was written."
        )


def _placed(metadata: MetaData) -> Iterator[tuple[str, str | None, str]]:
    for table in metadata.tables.values():
        yield "table", table.schema, table.name
        for column in table.columns:
            yield "type", getattr(column.type, "schema", None), str(getattr(column.type, "name", ""))
    # The one place where SQLAlchemy keeps the sequences that are declared.
    for sequence in metadata._sequences.values():  # noqa: SLF001 - see above
        yield "sequence", sequence.schema, sequence.name


def refuse_materialized(connection: Connection, tenants: Collection[str]) -> None:
    """Refuse materialized views of tenants' tables, as they were just made in the throw-away schema.

    Their rows are those of whoever fills them, and no policy guards them; the owner, who would, sees no tenant's.

    Raises:
        MigrationError: names each view and table, and what to write.
    """
    rows = [(view, table) for view, table in _ask(connection) if table in tenants]
    found = [f"{view} (of {table})" for view, table in rows]
    if found:
        raise MigrationError(
            f"The models declare materialized views of tenants' tables: {', '.join(found)}. They hold the rows of all "
            "tenants at once, no policy can guard them, and the owner who fills them sees no tenant's rows. Declare a "
            'view with postgresql_with={"security_invoker": True}, or a table with TenantMixin that a job fills for '
            "each tenant. Nothing was written.",
            tables=tuple(dict.fromkeys(table for _, table in rows)),
        )


def _ask(connection: Connection) -> list[tuple[str, str]]:
    return [(view, table) for view, table in connection.execute(text(_MATERIALIZED), {"schema": PROBE}).all()]
