"""An example to copy: what the product promises its tenants. `pytest --fixtures tests/product` shows what there is."""

from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError

from schema.client import tenant_session as open_session
from schema.client.orm import TenantSession
from schema.models.users import User
from tests.kit.product import Database
from tests.kit.queries import MaxQueries
from tests.kit.rows import Make


def invite(db: Engine, tenant: UUID, email: str) -> None:
    """Stand for code of the product's, which opens sessions and commits as it does in production."""
    with open_session(db, tenant) as session:
        session.add(User(external_id=email, email=email))


def test_who_is_invited_is_a_user(db: Engine, tenant: UUID, tenant_session: TenantSession) -> None:
    """What the product's code commits, the test sees; when the test ends, it is gone."""
    invite(db, tenant, "ada@example.com")
    assert tenant_session.scalars(select(User.email)).all() == ["ada@example.com"]


def test_another_tenant_sees_no_user(db: Engine, make: Make, other_tenant: UUID) -> None:
    """Rows that a test needs are made up, but for what it is about; two tenants work in one test."""
    make(User, role="admin")
    with open_session(db, other_tenant) as session:
        assert session.scalars(select(User)).all() == []


def test_users_are_read_by_one_query(make: Make, tenant_session: TenantSession, max_queries: MaxQueries) -> None:
    """More queries fail the test, and are listed."""
    make(User)
    make(User)
    with max_queries(1):
        assert len(tenant_session.scalars(select(User)).all()) == 2


def test_without_a_tenant_nothing_is_read(as_nobody: Connection) -> None:
    """Who forgets the tenant is refused by the database."""
    with pytest.raises(DBAPIError, match=r"app\.tenant_id is not set"):
        as_nobody.execute(text("SELECT * FROM tenants"))


def test_a_commit_can_be_a_real_one(database: Database, tenant: UUID) -> None:
    """Threads, other processes and other isolation levels have a database of the test's own."""
    serializable = database.engine.execution_options(isolation_level="SERIALIZABLE")
    invite(serializable, tenant, "ada@example.com")
    with open_session(database.engine, tenant) as session:
        assert session.scalars(select(User.email)).all() == ["ada@example.com"]
