"""Migrations on tables that hold rows of several tenants, as the owner, whom FORCE binds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Column, Identity, Integer, MetaData, Table
from sqlalchemy.exc import DBAPIError

from schema.client.connection import connect
from schema.errors import MigrationError
from schema.migration.engine import owner_engine
from schema.migration.helpers.tenants import as_tenant, for_each_tenant, tenant_ids
from schema.migration.lint.data_statements import silent_data_statements
from schema.models import metadata
from schema.tenancy.keys import tenant_foreign_key
from schema.tenancy.mixin import is_tenant_table
from tests.ground.integration.conftest import Scratch
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

FORCED = """
    SELECT relname, relforcerowsecurity FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'tenant_directory' ORDER BY 1
"""
ALL_FORCED = [(table, True) for table in sorted(metadata.tables) if is_tenant_table(metadata.tables[table])]
Query = Callable[[str], list[tuple[object, ...]]]


@contextmanager
def tenant_of(scratch: Scratch, tenant: UUID) -> Iterator[None]:
    """Be one tenant for a block of the owner's statements."""
    with scratch.connection.transaction():
        scratch.connection.execute(f"SET LOCAL app.tenant_id = '{tenant}'".encode())
        yield


@pytest.fixture
def tenants(scratch: Scratch) -> list[UUID]:
    """Migrate, and give two tenants with three users each."""
    scratch.upgrade()
    made = sorted([uuid4(), uuid4()])
    for tenant in made:
        with tenant_of(scratch, tenant):
            scratch.connection.execute(
                "INSERT INTO tenants VALUES (%s, now(), now(), 'Acme', %s)", [tenant, str(tenant)]
            )
            scratch.connection.execute(
                "INSERT INTO users (tenant_id, external_id, email)"
                " SELECT %s, name, name FROM unnest(ARRAY['ada', 'bob', 'eve']) AS name",
                [tenant],
            )
            scratch.connection.execute(
                "INSERT INTO tenant_features (tenant_id, feature) VALUES (%s, 'export')", [tenant]
            )
    return made


@pytest.fixture
def query(scratch: Scratch, stack: RunningStack) -> Query:
    """Ask as the superuser, who sees every tenant."""

    def ask(question: str) -> list[tuple[object, ...]]:
        with connect(stack.admin.on(scratch.url.database), stack.settings, autocommit=True) as connection:
            return connection.execute(question.encode()).fetchall()

    return ask


@pytest.fixture
def keyed(declared: MetaData) -> Table:
    """Declare one more foreign key, between two tables that are there: the feature of a user's role."""
    users = declared.tables["users"]
    users.append_constraint(
        tenant_foreign_key("role", "tenant_features.feature", name="fk_users_role", ondelete="CASCADE")
    )
    return users


def test_a_foreign_key_is_validated_with_every_tenants_rows(
    scratch: Scratch, tenants: list[UUID], keyed: Table, query: Query
) -> None:
    """A dangling row of any tenant stops the migration, which leaves FORCE and everything else as it was."""
    with tenant_of(scratch, tenants[1]):
        scratch.connection.execute(
            "INSERT INTO tenant_features (tenant_id, feature) VALUES (%s, 'member')", [tenants[1]]
        )
    scratch.generate("Add key", keyed.metadata)
    before = scratch.objects
    with pytest.raises(MigrationError, check=about(sqlstate="23503")):
        scratch.upgrade()
    assert scratch.objects == before
    assert query(FORCED) == ALL_FORCED


def test_a_foreign_key_is_added_to_filled_tables(
    scratch: Scratch, tenants: list[UUID], keyed: Table, query: Query
) -> None:
    """Where every tenant's rows agree the key is made and valid, FORCE is set again, and a downgrade takes it back."""
    for tenant in tenants:
        with tenant_of(scratch, tenant):
            scratch.connection.execute(
                "INSERT INTO tenant_features (tenant_id, feature) VALUES (%s, 'member')", [tenant]
            )
    before = scratch.objects
    scratch.generate("Add key", keyed.metadata)
    scratch.upgrade()
    assert query("SELECT convalidated FROM pg_constraint WHERE conname = 'fk_users_role'") == [(True,)]
    assert query(FORCED) == ALL_FORCED
    assert scratch.generate("Nothing", keyed.metadata) is None
    scratch.downgrade("-1")
    assert scratch.objects == before


@pytest.mark.usefixtures("tenants")
def test_a_foreign_key_that_comes_back_is_validated_too(scratch: Scratch, declared: MetaData, query: Query) -> None:
    """The downgrade of a dropped key sees every tenant's rows as well: one that dangles by then stops it."""
    users = declared.tables["users"]
    [key] = users.foreign_key_constraints
    users.constraints.discard(key)
    scratch.generate("Drop key", declared)
    scratch.upgrade()
    with scratch.connection.transaction():
        stray = uuid4()
        scratch.connection.execute(f"SET LOCAL app.tenant_id = '{stray}'".encode())
        scratch.connection.execute("INSERT INTO users (tenant_id, external_id, email) VALUES (%s, 'x', 'x')", [stray])
    with pytest.raises(DBAPIError, check=about(sqlstate="23503")):
        scratch.downgrade("-1")
    assert query(FORCED) == ALL_FORCED
    with tenant_of(scratch, stray):
        scratch.connection.execute("DELETE FROM users")
    scratch.downgrade("-1")
    assert query("SELECT convalidated FROM pg_constraint WHERE conname = 'fk_users_tenant_id_tenants'") == [(True,)]
    assert query(FORCED) == ALL_FORCED


UPDATE = "UPDATE users SET role = 'admin'"
BATCHES = "UPDATE users SET role = 'admin' WHERE id IN (SELECT id FROM users WHERE role <> 'admin' LIMIT :batch)"


@pytest.mark.parametrize("statement", [UPDATE, BATCHES], ids=["whole", "batches"])
@pytest.mark.parametrize("autocommit", [False, True], ids=["transaction", "autocommit"])
def test_a_data_migration_reaches_every_tenant(
    statement: str, autocommit: bool, scratch: Scratch, tenants: list[UUID], query: Query
) -> None:
    """A migration changes each tenant's rows, in its own transaction or batch by batch, and FORCE stays."""
    call = f"for_each_tenant(op.get_bind(), {statement!r}, batch=2)"
    block = "with op.get_context().autocommit_block():\n        " if autocommit else ""
    scratch.write(f"from schema.migration.helpers.tenants import for_each_tenant\n    {block}{call}")
    scratch.upgrade()
    assert query("SELECT tenant_id, count(*) FROM users WHERE role = 'admin' GROUP BY 1 ORDER BY 1") == [
        (tenant, 3) for tenant in tenants
    ]
    assert query(FORCED) == ALL_FORCED


@pytest.mark.usefixtures("tenants")
def test_a_data_statement_without_a_tenant_is_refused_or_found(scratch: Scratch, query: Query) -> None:
    """As the owner it raises where there are rows, and the lint sees it in the file before anybody runs it."""
    scratch.write(f'op.execute("{UPDATE}")')
    with pytest.raises(MigrationError, match=r"app\.tenant_id is not set"):
        scratch.upgrade()
    assert query("SELECT count(*) FROM users WHERE role = 'admin'") == [(0,)]
    [found] = silent_data_statements(scratch.files["9999_by_hand.py"], set(metadata.tables))
    assert found.table == "users"


def test_what_is_committed_stays_when_a_later_batch_fails(scratch: Scratch, tenants: list[UUID], query: Query) -> None:
    """Batches that commit one by one leave their work; no tenant is left set, and the next run goes on."""
    refused = f"CASE WHEN tenant_id = '{tenants[1]}' THEN 'nobody' ELSE 'admin' END"
    with owner_engine(scratch.url, scratch.settings).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(DBAPIError, check=about(constraint="ck_users_role")):
            for_each_tenant(connection, f"UPDATE users SET role = {refused}", say=lambda _: None)
        assert connection.exec_driver_sql("SELECT current_setting('app.tenant_id', true)").scalar() in {None, ""}
        assert query("SELECT DISTINCT tenant_id FROM users WHERE role = 'admin'") == [(tenants[0],)]
        assert for_each_tenant(connection, BATCHES, batch=2, say=lambda _: None) == 3


@pytest.mark.usefixtures("tenants")
def test_progress_is_told(scratch: Scratch) -> None:
    """At the end it is said how many tenants and rows there were."""
    told: list[str] = []
    with owner_engine(scratch.url, scratch.settings).connect() as connection:
        assert for_each_tenant(connection, UPDATE, say=told.append) == 6
    assert told == ["2 tenants: 6 rows"]


def test_listing_the_tenants_waits_for_nobody(scratch: Scratch, tenants: list[UUID], stack: RunningStack) -> None:
    """The owner learns every id while a long query reads `tenants`, and sees no row without a context."""
    with (
        connect(scratch.url, stack.settings) as reader,
        owner_engine(scratch.url, scratch.settings).connect() as connection,
    ):
        reader.execute("LOCK TABLE tenants IN ACCESS SHARE MODE")
        connection.exec_driver_sql("SET lock_timeout = '100ms'")
        assert tenant_ids(connection) == tuple(tenants)
        with as_tenant(connection, tenants[1]):
            assert connection.exec_driver_sql("SELECT tenant_id FROM tenants").scalars().all() == [tenants[1]]
        with pytest.raises(Exception, match=r"app\.tenant_id is not set"):
            connection.exec_driver_sql("SELECT * FROM tenants")


HIDDEN = "CREATE POLICY narrow ON users AS RESTRICTIVE USING (role <> 'member')"


def test_a_data_migration_skips_no_row_that_a_policy_hides(scratch: Scratch, tenants: list[UUID], query: Query) -> None:
    """A policy that binds the application hides nothing from it; one that binds the owner too is refused by name."""
    scratch.connection.execute(f"{HIDDEN.replace('USING', 'TO app_user USING')}".encode())
    with owner_engine(scratch.url, scratch.settings).begin() as connection:
        assert for_each_tenant(connection, "UPDATE users SET email = email || '.'", say=lambda _: None) == 6
    scratch.connection.execute("ALTER POLICY narrow ON users TO PUBLIC")
    scratch.write(
        f"from schema.migration.helpers.tenants import for_each_tenant\n    for_each_tenant(op.get_bind(), {UPDATE!r})"
    )
    with pytest.raises(MigrationError, match=r"9999_by_hand\.py failed.*policy narrow of users"):
        scratch.upgrade()
    assert query("SELECT count(*) FROM users WHERE role = 'admin'") == [(0,)]
    with owner_engine(scratch.url, scratch.settings).begin() as connection:
        touched = for_each_tenant(connection, "UPDATE tenants SET name = 'x'", say=lambda _: None)
    assert touched == len(tenants)


def test_a_new_identity_counts_from_beyond_the_rows_of_all_tenants(
    scratch: Scratch, tenants: list[UUID], declared: MetaData, query: Query
) -> None:
    """The owner is shown every tenant's rows for that one statement, and FORCE stays."""
    users = declared.tables["users"]
    users.append_column(Column("number", Integer, nullable=False, server_default="0"))
    scratch.generate("Number users", declared)
    scratch.upgrade()
    with tenant_of(scratch, tenants[1]):
        scratch.connection.execute("UPDATE users SET number = 41")
    users.c.number.server_default = None
    users.c.number.identity = Identity()
    scratch.generate("Count users", declared)
    scratch.upgrade()
    with tenant_of(scratch, tenants[0]):
        scratch.connection.execute(
            "INSERT INTO users (tenant_id, external_id, email) VALUES (%s, 'new', 'new')", [tenants[0]]
        )
    assert query("SELECT number FROM users WHERE email = 'new'") == [(42,)]
    assert query(FORCED) == ALL_FORCED
    assert scratch.generate("Nothing", declared) is None


def test_losing_a_parent_takes_the_reference_alone(
    scratch: Scratch, tenants: list[UUID], declared: MetaData, query: Query
) -> None:
    """SET NULL with its column reaches the database and agrees with the declaration; the tenant stays."""
    users = declared.tables["users"]
    users.c.role.nullable = True
    users.append_constraint(
        tenant_foreign_key("role", "tenant_features.feature", name="fk_users_role", ondelete="SET NULL")
    )
    for tenant in tenants:
        with tenant_of(scratch, tenant):
            scratch.connection.execute(
                "INSERT INTO tenant_features (tenant_id, feature) VALUES (%s, 'member')", [tenant]
            )
    scratch.generate("Add key", declared)
    scratch.upgrade()
    assert scratch.generate("Nothing", declared) is None
    with tenant_of(scratch, tenants[0]):
        scratch.connection.execute("DELETE FROM tenant_features WHERE feature = 'member'")
    assert query("SELECT tenant_id, role FROM users GROUP BY 1, 2 ORDER BY 1, 2") == [
        (tenants[0], None),
        (tenants[1], "member"),
    ]
