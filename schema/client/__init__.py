"""How the application reaches its rows: engines, sessions and connections. `schema.client.aio` has them for asyncio.

Each name is loaded when it is asked for: what needs psycopg alone does not wait for SQLAlchemy.
"""

from typing import TYPE_CHECKING

from schema.lazy import lazy

__all__ = [
    "TenantSession",
    "create_engine",
    "in_tenant_session",
    "maintenance_engine",
    "maintenance_session",
    "resolve_tenant",
    "tenant_connection",
    "tenant_session",
    "tenantless_connection",
]

if TYPE_CHECKING:
    from schema.client.engine import create_engine, maintenance_engine
    from schema.client.orm import TenantSession
    from schema.client.session import (
        in_tenant_session,
        maintenance_session,
        tenant_connection,
        tenant_session,
        tenantless_connection,
    )
    from schema.client.tenants import resolve_tenant
else:
    __getattr__ = lazy(
        __name__,
        {
            "engine": ["create_engine", "maintenance_engine"],
            "orm": ["TenantSession"],
            "session": [
                "in_tenant_session",
                "maintenance_session",
                "tenant_connection",
                "tenant_session",
                "tenantless_connection",
            ],
            "tenants": ["resolve_tenant"],
        },
    )
