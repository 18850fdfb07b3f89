"""Asyncio twins of what `schema.client` offers: the same rules, never blocking the loop."""

from typing import TYPE_CHECKING

from schema.lazy import lazy

__all__ = [
    "create_async_engine",
    "in_tenant_session",
    "maintenance_engine",
    "maintenance_session",
    "resolve_tenant",
    "tenant_connection",
    "tenant_session",
    "tenantless_connection",
]

if TYPE_CHECKING:
    from schema.client.aio.engine import create_async_engine, maintenance_engine
    from schema.client.aio.session import (
        in_tenant_session,
        maintenance_session,
        tenant_connection,
        tenant_session,
        tenantless_connection,
    )
    from schema.client.aio.tenants import resolve_tenant
else:
    __getattr__ = lazy(
        __name__,
        {
            "engine": ["create_async_engine", "maintenance_engine"],
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
