"""One whole tenant and nothing else, as the owner sees it: the one way to count, export or delete what is a tenant's.

The owner is bound by the tenant's own pair of policies, so that the database keeps other tenants out of reach; policies
that narrow what the application sees are made TO its role and hide nothing from the owner. What would hide rows all the
same, or would take away more than was looked at, is refused by name. psycopg only.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import LiteralString, NamedTuple
from uuid import UUID

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.errors import TenantError

# Whatever has a tenant_id, row level security or not: a mapping table of domains holds rows of tenants as well. Of a
# partitioned table the parent stands for all; a child that inherits is a table of its own. The directory is derived:
# a trigger of `tenants` keeps it.
_TABLES: LiteralString = """
    SELECT nspname, relname, relkind = 'p'
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    JOIN pg_attribute ON attrelid = c.oid AND attname = 'tenant_id' AND NOT attisdropped
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relpersistence <> 't'
      AND atttypid IN ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype)
      AND nspname <> 'information_schema' AND nspname !~ '^pg_'
      AND c.oid IS DISTINCT FROM to_regclass('public.tenant_directory')
    ORDER BY nspname <> 'public', nspname, relname
"""
HIDING: LiteralString = """
    WITH bound AS (
        SELECT c.oid, relname FROM pg_class c
        JOIN pg_attribute ON attrelid = c.oid AND attname = 'tenant_id' AND NOT attisdropped
        WHERE relkind IN ('r', 'p') AND NOT relispartition
          AND relrowsecurity AND (relforcerowsecurity OR NOT pg_has_role(relowner, 'USAGE'))
    ), applied AS (
        SELECT polrelid, polname, polpermissive FROM pg_policy
        WHERE 0 = ANY (polroles) OR EXISTS (SELECT FROM unnest(polroles) AS role WHERE pg_has_role(role, 'USAGE'))
    )
    SELECT relname, format('policy %I of %s', polname, oid::regclass) FROM bound JOIN applied ON polrelid = oid
    WHERE NOT polpermissive AND polname <> 'tenant_restrict'
    UNION ALL
    SELECT relname, format('the lack of a policy tenant_permit of %s', oid::regclass) FROM bound
    WHERE NOT EXISTS (SELECT FROM applied WHERE polrelid = oid AND polpermissive) ORDER BY 2
"""
"""What hides rows of tenants from the role that asks, each with its table's name."""

# What a transaction did to each table, partitions counted with their root: rows deleted, inserted, and updated where
# the table has a foreign key whose action updates.
_TAKEN: LiteralString = """
    SELECT nspname, relname, sum(deleted)::int8, sum(inserted)::int8, sum(updated)::int8
    FROM (
        SELECT coalesce(pg_partition_root(oid), oid) AS root, pg_stat_get_xact_tuples_deleted(oid) AS deleted,
               pg_stat_get_xact_tuples_inserted(oid) AS inserted,
               CASE WHEN EXISTS (SELECT FROM pg_constraint WHERE conrelid = c.oid AND confdeltype IN ('n', 'd'))
                    THEN pg_stat_get_xact_tuples_updated(oid) ELSE 0 END AS updated
        FROM pg_class c WHERE relkind = 'r' AND relnamespace <> 'pg_catalog'::regnamespace
    ) AS counted JOIN pg_class c ON c.oid = root JOIN pg_namespace n ON n.oid = relnamespace
    WHERE c.oid IS DISTINCT FROM to_regclass('public.tenant_directory')
    GROUP BY 1, 2 HAVING sum(deleted) + sum(updated) > 0 ORDER BY 1, 2
"""
# Triggers may write rows of the tenant while its rows are deleted, such as an audit log; more often they need not.
_PASSES = 5


class TenantTable(NamedTuple):
    """A table that holds rows of tenants."""

    schema: str
    name: str
    partitioned: bool

    def __str__(self) -> str:
        """Return the table as messages call it."""
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> Composable:
        """The table's name in SQL."""
        return Identifier(self.schema, self.name)

    @property
    def rows(self) -> Composable:
        """The table as a statement reads it: a child that inherits is a table of its own."""
        return self.identifier if self.partitioned else SQL("ONLY {}").format(self.identifier)


_ROOT = ("public", "tenants")


class WholeTenant:
    """One tenant's rows in every table, as one transaction sees them; `whole_tenant` opens it."""

    def __init__(self, connection: BoundedConnection, tenant: UUID, tables: tuple[TenantTable, ...]) -> None:
        self.connection = connection
        self.tenant = tenant
        self.tables = tables

    @property
    def predicate(self) -> Composed:
        """The condition that every statement carries, whether policies hold the role or not."""
        return SQL("tenant_id = {}").format(Literal(str(self.tenant)))

    def count(self) -> dict[str, int]:
        """Count the rows in each table."""
        return self._in_each(self.tables, "SELECT FROM {table} WHERE {tenant}")

    def delete(self, expected: dict[str, int]) -> None:
        """Delete every row, where that takes away as many of each table as are `expected` and nothing else.

        Foreign keys are looked at when a statement ends, in whatever order and circle they refer to one another.

        Raises:
            TenantError: rows would be taken away that were not looked at, or are kept.
            psycopg.Error: the database refuses, as for a row elsewhere that refers to one of these.
        """
        _refuse_uncounted(self.connection)
        branches = [table for table in self.tables if (table.schema, table.name) != _ROOT]
        for _ in range(_PASSES):
            if not branches or not any(self._delete_from(branches).values()):
                break
        self._delete_from([table for table in self.tables if table not in branches])
        # What is deferred to the commit could fail there, after all else was done.
        self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        self._refuse_other_losses(expected)

    def _delete_from(self, tables: Iterable[TenantTable]) -> dict[str, int]:
        return self._in_each(tables, "DELETE FROM {table} WHERE {tenant} RETURNING 1")

    def _in_each(self, tables: Iterable[TenantTable], statement: LiteralString) -> dict[str, int]:
        """Run a statement on each table, all in one, and count the rows of each."""
        parts, counts = [], []
        for number, table in enumerate(tables):
            part = Identifier(f"part_{number}")
            parts.append(SQL("{} AS ({})").format(part, SQL(statement).format(table=table.rows, tenant=self.predicate)))
            counts.append(SQL("SELECT {}, count(*) FROM {}").format(Literal(str(table)), part))
        if not parts:
            return {}
        query = SQL("WITH {} {}").format(SQL(", ").join(parts), SQL(" UNION ALL ").join(counts))
        return dict(self.connection.execute(query).fetchall())

    def _refuse_other_losses(self, expected: dict[str, int]) -> None:
        more, severed = {}, {}
        kept = dict(expected)
        for schema, name, deleted, inserted, updated in self.connection.execute(_TAKEN).fetchall():
            table = str(TenantTable(schema, name, partitioned=False))
            # What triggers wrote for the tenant while its rows were deleted is deleted with them.
            taken = deleted - inserted if table in expected else deleted
            more[table], severed[table] = taken - expected.get(table, 0), updated
            kept[table] = -more[table]
        causes = [
            *(f"{count} of {table} would go as well" for table, count in more.items() if count > 0),
            *(f"{count} of {table} would lose what they refer to" for table, count in severed.items() if count > 0),
            *(f"{count} of {table} would be kept" for table, count in kept.items() if count > 0),
        ]
        if causes:
            raise TenantError(
                f"Tenant {self.tenant} cannot be deleted: besides the rows that were counted as its own, by foreign "
                f"keys or triggers, {', '.join(causes)}. Nothing was deleted. Delete those rows yourself first, or "
                "give the table a tenant_id, so that its rows count as the tenant's.",
                tenant=str(self.tenant),
                causes=tuple(causes),
            )


@contextmanager
def whole_tenant(owner: DatabaseUrl, settings: Settings, tenant: UUID) -> Iterator[WholeTenant]:
    """See all of one tenant, as of one moment, in a transaction that is committed when the block ends.

    Raises:
        DatabaseUnavailable: the server is away or refuses.
        TenantError: there are no tables of tenants, or something hides rows of tenants from the owner.
    """
    with connect(owner, settings) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        tables = tuple(TenantTable(*found) for found in connection.execute(_TABLES).fetchall())
        if not any((table.schema, table.name) == _ROOT for table in tables):
            raise TenantError(f"Database {owner.database!r} has no table of tenants. Run `invoke migrate` first.")
        causes = tuple(cause for _, cause in connection.execute(HIDING).fetchall())
        if hidden := hidden_rows(causes):
            raise TenantError(hidden, causes=causes)
        # SET takes no bound parameter; the text is that of a uuid.
        connection.execute(SQL("SET LOCAL app.tenant_id = {}").format(Literal(str(tenant))))
        yield WholeTenant(connection, tenant, tables)


def hidden_rows(causes: Iterable[str]) -> str:
    """Return what to tell where `causes` (of `HIDING`) hide rows of tenants from the owner; nothing where none do."""
    named = ", ".join(causes)
    return named and (
        f"Rows of tenants are hidden from the owner, who would miss them, by {named}. Nothing was changed. Policies "
        "that are declared with `restrictive_policy` bind the application alone: apply what `invoke generate` writes "
        "first."
    )


def _refuse_uncounted(connection: BoundedConnection) -> None:
    ((counted,),) = connection.execute("SELECT current_setting('track_counts')::bool").fetchall()
    if not counted:
        raise TenantError(
            "The server does not count changed rows (track_counts is off), so that what a deletion takes away cannot "
            "be proven. Set track_counts to on, its default. Nothing was deleted."
        )
