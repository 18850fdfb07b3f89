"""The session that sees every tenant: asked for outright, logged, and read-only unless it says otherwise."""

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from infra.settings import Role
from schema.engine import maintenance_engine
from schema.errors import TenantContextError
from schema.session import maintenance_session
from schema.tenants import Tenant
from tests.fixtures.database import Logged, SignUp
from tests.fixtures.stack import RunningStack

pytestmark = pytest.mark.one_backend


@pytest.fixture
def maintaining(stack: RunningStack) -> Engine:
    """Give the engine of app_maintenance."""
    return maintenance_engine(stack.url(Role.MAINTENANCE), stack.settings)


def test_maintenance_sees_every_tenant_and_says_why(logged: Logged, maintaining: Engine, sign_up: SignUp) -> None:
    """The reason, the role and the database are logged before anything is read."""
    tenants = {sign_up(), sign_up()}
    logged.clear()
    with maintenance_session(maintaining, reason="monthly invoices") as session:
        assert [entry["event"] for entry in logged] == ["maintenance session"]
        assert tenants <= set(session.scalars(select(Tenant.tenant_id)))
    assert {key: logged[0][key] for key in ("log_level", "reason", "role", "database", "read_only")} == {
        "log_level": "warning",
        "reason": "monthly invoices",
        "role": "app_maintenance",
        "database": "app",
        "read_only": True,
    }


@pytest.mark.parametrize("read_only", [True, False])
def test_maintenance_is_read_only_unless_asked(read_only: bool, maintaining: Engine) -> None:
    """The server refuses what would change something, in every transaction of the session."""
    with maintenance_session(maintaining, reason="a test", read_only=read_only) as session:
        for _ in range(2):
            assert session.scalar(text("SHOW transaction_read_only")) == ("on" if read_only else "off")
            session.commit()
        with pytest.raises(DBAPIError, match="read-only transaction" if read_only else "permission denied"):
            session.execute(text("DELETE FROM tenants"))
        session.rollback()


@pytest.mark.parametrize("reason", ["", "  "])
def test_maintenance_needs_a_reason(reason: str, maintaining: Engine) -> None:
    """Nobody reads across tenants without saying what for."""
    with pytest.raises(TenantContextError, match="reason"), maintenance_session(maintaining, reason=reason):
        pass


def test_the_applications_engine_does_no_maintenance(engine: Engine) -> None:
    """The error names the engine and the setting to use."""
    with (
        pytest.raises(TenantContextError, match="DATABASE_MAINTENANCE_URL"),
        maintenance_session(engine, reason="a test"),
    ):
        pass
