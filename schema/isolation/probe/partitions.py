"""Room for made-up tenants in tables that have a partition for each tenant."""

from typing import Any

import psycopg

# Whose a row is, is given, so no other value can be tried for it. A hash has room for every tenant.
_WITHOUT_ROOM = """
    SELECT format('CREATE TABLE %I.groundwork_probe_%s PARTITION OF %s DEFAULT', nspname, c.oid, c.oid::regclass)
    FROM pg_partitioned_table JOIN pg_class c ON c.oid = partrelid JOIN pg_namespace n ON n.oid = relnamespace
    JOIN pg_attribute ON attrelid = c.oid AND attname = 'tenant_id' AND attnum = ANY (partattrs::int2[])
    WHERE partdefid = 0 AND partstrat IN ('l', 'r')
"""


def make_room(connection: psycopg.Connection[Any]) -> None:
    """Give each table that is partitioned by its tenants a partition for all those that have none, in a clone."""
    for (statement,) in connection.execute(_WITHOUT_ROOM).fetchall():
        connection.execute(statement)
