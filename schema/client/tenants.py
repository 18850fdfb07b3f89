"""Finding a tenant before there is a tenant context."""

from uuid import UUID

from sqlalchemy import Engine, TextClause, text

from infra.config.settings import function_schema
from schema.client.session import tenantless_connection


def resolve_tenant(engine: Engine, *, slug: str | None = None, external_id: str | None = None) -> UUID | None:
    """Find a tenant's id before there is a tenant context, by its slug or by its external id; None where there is none.

    An empty key, as of a sign-in without an organisation, is nobody's.

    Raises:
        DatabaseUnavailable: the server is away or refuses.
        ValueError: neither key is given, or both.
    """
    question = tenant_question(slug, external_id)
    with tenantless_connection(engine) as connection:
        found: UUID | None = connection.scalar(question)
    return found


def tenant_question(slug: str | None, external_id: str | None) -> TextClause:
    """Return the statement that finds a tenant by one of its keys.

    Raises:
        ValueError: neither key is given, or both.
    """
    if (slug is None) == (external_id is None):
        raise ValueError("give slug or external_id, and not both")
    question = text(f"SELECT {function_schema()}.resolve_tenant(:slug, :external_id)")
    return question.bindparams(slug=slug or None, external_id=external_id or None)
