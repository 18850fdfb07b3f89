"""Finding a tenant under asyncio, as `schema.admin.tenants` does."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from schema.client.aio.session import tenantless_connection
from schema.client.tenants import tenant_question


async def resolve_tenant(
    engine: AsyncEngine, *, slug: str | None = None, external_id: str | None = None
) -> UUID | None:
    """Find a tenant's id before there is a tenant context, by its slug or by its external id; None where there is none.

    Raises:
        DatabaseUnavailable: the server is away or refuses.
        ValueError: neither key is given, or both.
    """
    question = tenant_question(slug, external_id)
    async with tenantless_connection(engine) as connection:
        found: UUID | None = await connection.scalar(question)
    return found
