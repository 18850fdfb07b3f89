"""Sessions of one tenant."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from schema.errors import TenantContextError


@contextmanager
def tenant_session(engine: Engine, tenant: UUID | str) -> Iterator[Session]:
    """Open one transaction as `tenant`: committed when the block ends, rolled back when it raises.

    The block is the transaction: after a commit or rollback inside it, the session refuses further statements.
    Only sessions opened here have a tenant; an engine used in another way has none, and tenant tables then raise
    (42501) or, where they are empty, answer nothing.

    Raises:
        TenantContextError: `tenant` is missing or not a uuid.
    """
    identifier = tenant_id(tenant)
    with Session(engine, expire_on_commit=False) as session, session.begin():
        # SET takes no bound parameter; the text is that of a parsed uuid.
        session.connection().exec_driver_sql(f"SET LOCAL app.tenant_id = '{identifier}'")
        yield session


def tenant_id(tenant: object) -> UUID:
    """Read a tenant's id.

    Raises:
        TenantContextError: it is missing or not a uuid.
    """
    if isinstance(tenant, UUID):
        return tenant
    if isinstance(tenant, str) and tenant:
        try:
            return UUID(tenant)
        except ValueError:
            raise TenantContextError(f"{tenant!r} is not a tenant: its id is a uuid. Pass tenants.tenant_id.") from None
    raise TenantContextError("No tenant was given. Pass tenants.tenant_id; nothing runs without one.")
