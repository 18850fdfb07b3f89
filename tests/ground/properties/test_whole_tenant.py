"""Whatever tables a product has: a tenant's file and what was deleted are what was there; no other's row changes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from psycopg.sql import SQL, Identifier

from schema.admin import tenants
from schema.client.connection import BoundedConnection, connect
from schema.tenancy.policies import create_all, isolation
from tests.ground.integration.conftest import Scratch, scratch
from tests.ground.properties import tenant_schemas
from tests.ground.properties.tenant_schemas import AUDIT, FUNCTIONS, Table, schemas
from tests.kit.availability import needed_psql
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

__all__ = ["scratch"]
QUICK = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(QUICK, max_examples=250)
STATE = """
    SELECT 'key', conrelid::regclass::text, conname, condeferrable::text FROM pg_constraint WHERE contype = 'f'
    UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'forced', relname, '', relforcerowsecurity::text FROM pg_class ORDER BY 1, 2, 3
"""


@pytest.fixture
def superuser(scratch: Scratch, stack: RunningStack) -> Iterator[BoundedConnection]:
    """Give a connection that sees every row, to a migrated database with functions for triggers."""
    scratch.upgrade()
    for statement in (FUNCTIONS, AUDIT, *create_all([p for p in isolation() if p.rank != 2], "audit_log")):
        scratch.connection.execute(statement.encode())
    with connect(stack.admin.on(scratch.url.database), stack.settings, autocommit=True) as connection:
        connection.prepare_threshold = None  # each example has other tables of the same names
        yield connection


class World:
    """A schema with rows of two tenants."""

    def __init__(self, superuser: BoundedConnection, scratch: Scratch, tables: tuple[Table, ...]) -> None:
        self.superuser, self.scratch, self.tables = superuser, scratch, tables
        self.tenant, self.other = uuid4(), uuid4()
        tenant_schemas.create(scratch.connection, tables)
        for tenant in (self.other, self.tenant):
            tenant_schemas.fill(superuser, tables, tenant)

    def rows(self, tenant: UUID) -> list[Any]:
        """Return all that is a tenant's, of whatever table, as the superuser sees it."""
        names = ["tenants", "audit_log", "tenant_directory", *(table.name for table in self.tables)]
        return [
            (name, self.superuser.execute(SQL(
                "SELECT t.*, t::text FROM {} t WHERE tenant_id = %s ORDER BY t::text"
            ).format(Identifier(name)), [tenant]).fetchall())
            for name in names
        ]  # fmt: skip

    def state(self) -> list[Any]:
        """Return what a restore changes for a moment."""
        return self.superuser.execute(STATE).fetchall()

    def restore(self, file: Path) -> None:
        """Restore as the head of the file says."""
        url = self.scratch.url
        done = subprocess.run(
            [needed_psql(), "-X", "-q", "-d", str(url), "-f", file],
            env=os.environ | {"PGPASSWORD": url.password.reveal()},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


def comes_back(superuser: BoundedConnection, scratch: Scratch, stack: RunningStack, tables: tuple[Table, ...]) -> None:
    """Delete a tenant of a schema, and bring it back."""
    file = scratch.checkout / f"{uuid4().hex}.sql"
    try:
        world = World(superuser, scratch, tables)
        before, others, state = world.rows(world.tenant), world.rows(world.other), world.state()
        gone = tenants.delete(scratch.url, stack.settings, world.tenant, file)
        counted = {name: len(rows) for name, rows in before if name != "tenant_directory"}
        assert {name: gone[name] for name in counted} == counted
        assert [rows for _, rows in world.rows(world.tenant) if rows] == []
        assert world.rows(world.other) == others
        assert str(world.other) not in file.read_text(encoding="utf-8")
        world.restore(file)
        assert (world.rows(world.tenant), world.rows(world.other), world.state()) == (before, others, state)
    finally:
        tenant_schemas.drop(superuser, tables)


def test_a_deleted_tenant_comes_back(superuser: BoundedConnection, scratch: Scratch, stack: RunningStack) -> None:
    """Rows that policies, partitions, circles, cascades and triggers hide or move are written, deleted and restored."""
    QUICK(given(schemas())(lambda tables: comes_back(superuser, scratch, stack, tables)))()


@pytest.mark.slow
def test_many_deleted_tenants_come_back(superuser: BoundedConnection, scratch: Scratch, stack: RunningStack) -> None:
    """The same over many more schemas."""
    LONG(given(schemas())(lambda tables: comes_back(superuser, scratch, stack, tables)))()
