"""An example to copy: what the product promises its tenants, on the stack that the tests bring up."""

import pytest
from sqlalchemy import Engine, select

from schema.client import tenant_session
from schema.isolation.report import Report
from schema.models.users import User
from tests.kit.database import SignUp

pytestmark = pytest.mark.one_backend


def test_a_tenant_sees_its_own_users(engine: Engine, sign_up: SignUp) -> None:
    """What one tenant adds, another does not see."""
    ours, theirs = sign_up(), sign_up()
    with tenant_session(engine, ours) as session:
        session.add(User(external_id="ada", email="ada@example.com"))
    found = select(User.external_id)
    with tenant_session(engine, ours) as session:
        assert session.scalars(found).all() == ["ada"]
    with tenant_session(engine, theirs) as session:
        assert session.scalars(found).all() == []


def test_no_tenant_can_see_another(isolation: Report) -> None:
    """The database keeps tenants apart, in every table."""
    isolation.require()
