from uuid import UUID

import pytest
from sqlalchemy import create_engine

from schema.client.dialect import DRIVER
from schema.client.session import tenant_session
from schema.errors import ContextFault, TenantContextError
from schema.tenancy.context import tenant_id

TENANT = "01a20438-44f5-7e0c-a95e-06f76e507b2d"


@pytest.mark.parametrize("given", [TENANT, TENANT.upper(), UUID(TENANT)])
def test_a_tenant_is_a_uuid(given: object) -> None:
    """Text and UUID name the same tenant."""
    assert tenant_id(given) == UUID(TENANT)


@pytest.mark.parametrize("given", [None, "", "acme", f"{TENANT}' OR true --", 7, b"x", True])
def test_anything_else_is_refused(given: object) -> None:
    """What is no uuid never reaches a statement."""
    with pytest.raises(
        TenantContextError, check=lambda error: error.fault in {ContextFault.NO_TENANT, ContextFault.NOT_A_TENANT}
    ):
        tenant_id(given)


def test_no_connection_is_made_for_a_refused_tenant() -> None:
    """The tenant is checked before the engine is asked for anything."""

    def connect() -> None:
        raise AssertionError

    with (
        pytest.raises(TenantContextError),
        tenant_session(create_engine(f"{DRIVER}://", creator=connect), "acme"),
    ):
        pass
