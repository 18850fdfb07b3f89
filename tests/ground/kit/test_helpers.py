from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text

from schema.client.orm import TenantSession
from schema.models.features import TenantFeature
from schema.models.users import User
from tests.kit.queries import Explain, MaxQueries
from tests.kit.rows import Make


def test_rows_are_made_up(make: Make, tenant_session: TenantSession) -> None:
    """What is given is there, what must be there is made up, keys differ, and all are the session's tenant's."""
    users = [make(User, role="admin"), make(User), make(User, email="ada@example.com")]
    assert [users[0].role, users[1].role, users[2].email] == ["admin", "member", "ada@example.com"]
    assert {user.tenant_id for user in users} == {tenant_session.tenant}
    tenant_session.commit()
    assert len(tenant_session.scalars(select(User)).all()) == len(users)
    assert make(TenantFeature, limit=3).limit == 3


def test_queries_are_counted_and_listed(tenant_session: TenantSession, max_queries: MaxQueries) -> None:
    """One query too many fails the test, and shows each; as many as are allowed do not."""
    with max_queries(1):
        tenant_session.scalars(select(User)).all()
    listed = r"(?s)2 queries, and 1 are allowed.*1\. SELECT .*2\. SELECT "

    def ask_twice() -> None:
        with max_queries(1):
            tenant_session.scalars(select(User)).all()
            tenant_session.scalars(select(TenantFeature)).all()

    with pytest.raises(pytest.fail.Exception, match=listed):
        ask_twice()


def test_a_scan_of_a_whole_table_is_refused(tenant_session: TenantSession, explain: Explain) -> None:
    """A query without an index fails where it reads more rows than are allowed, and passes where it reads fewer."""
    fill = "SELECT app.tenant_id(), n, n FROM generate_series(1, 300) n"
    tenant_session.execute(text(f"INSERT INTO users (tenant_id, external_id, email) {fill}"))
    unindexed = select(User).where(User.role == "owner")
    with pytest.raises(pytest.fail.Exception, match=r"users reads 300 rows, and 100 are allowed; its filter: .*role"):
        explain(tenant_session, unindexed, rows=100)
    assert explain(tenant_session, unindexed, rows=300)
    explain(tenant_session, select(User).where(User.external_id == "7"), rows=1)


def test_a_model_is_isolated(assert_isolated: Callable[[type[Any]], None]) -> None:
    """A table of tenants passes; a model without a tenant does not."""
    assert_isolated(User)
    with pytest.raises(AssertionError, match="has no TenantMixin"):
        assert_isolated(type("Plain", (), {"__table__": "plain"}))
