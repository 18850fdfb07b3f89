"""Sessions and connections: of one tenant, of none, and of all for maintenance.

A block is entered with what it serves and commits when it ends; an exception rolls it back. Commits and rollbacks
within it are allowed: the next transaction of the block has the same tenant. `schema.aio.session` is its asyncio twin.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from schema.context import NoTenant, TenantBlock, tenant_id
from schema.dialect import TenantDialect, engine_of
from schema.errors import TenantContextError
from schema.orm import TenantSession

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def tenant_session(engine: Engine, tenant: UUID | str) -> Iterator[TenantSession]:
    """Open an ORM session of `tenant`: committed when the block ends, rolled back when it raises.

    As a dependency of FastAPI, for one:

        def session(tenant: Annotated[UUID, Depends(current_tenant)]) -> Iterator[Session]:
            with tenant_session(engine, tenant) as session:
                yield session

    Raises:
        TenantContextError: `tenant` is missing or not a uuid, a block of another tenant is open here, or `engine` is
            not the application's.
    """
    identifier = tenant_id(tenant)
    with TenantBlock(identifier), TenantSession(engine, tenant=identifier) as session:
        yield session
        session.commit()


@contextmanager
def tenant_connection(engine: Engine, tenant: UUID | str) -> Iterator[Connection]:
    """Open a connection of `tenant`, for statements without the ORM: committed when the block ends.

    Raises:
        TenantContextError: as `tenant_session`.
    """
    identifier = tenant_id(tenant)
    with TenantBlock(identifier), engine_of(identifier, engine).connect() as connection:
        yield connection
        connection.commit()


@contextmanager
def tenantless_connection(engine: Engine) -> Iterator[Connection]:
    """Open a connection with no tenant, said outright: for a health check, or to find a request's tenant.

    Tenant tables refuse it (42501) or, where they are empty, answer nothing.
    """
    with engine_of(NoTenant.NO_TENANT, engine).connect() as connection:
        yield connection
        connection.commit()


@contextmanager
def maintenance_session(engine: Engine, *, reason: str, read_only: bool = True) -> Iterator[Session]:
    """Open a session that sees every tenant, on an engine of `schema.engine.maintenance_engine`.

    `reason` says what it is for; it is logged, with the role and the database, before anything is read.

    Raises:
        TenantContextError: no reason is given, or `engine` is the application's.
    """
    if not reason.strip():
        raise TenantContextError("A session across tenants needs a reason, for the log. Pass reason='…'.")
    if isinstance(engine.dialect, TenantDialect):
        raise TenantContextError(
            "The application's engine serves one tenant at a time. Pass schema.engine.maintenance_engine(url, settings)"
            " with the URL of app_maintenance (DATABASE_MAINTENANCE_URL)."
        )
    structlog.get_logger("groundwork").warning(
        "maintenance session",
        reason=reason,
        role=engine.url.username,
        database=engine.url.database,
        read_only=read_only,
    )
    with Session(engine.execution_options(postgresql_readonly=read_only), expire_on_commit=False) as session:
        yield session
        session.commit()


def in_tenant_session(
    engine: Engine, tenant_of: Callable[P, UUID | str]
) -> Callable[[Callable[Concatenate[TenantSession, P], R]], Callable[P, R]]:
    """Make a decorator for handlers, of any framework: they are called with the session of their tenant first.

    `tenant_of` is called with the handler's own arguments and returns the tenant, such as from the request:

        @in_tenant_session(engine, lambda request: request.user.tenant_id)
        def list_users(session: TenantSession, request: Request) -> Response: ...
    """

    def decorate(handler: Callable[Concatenate[TenantSession, P], R]) -> Callable[P, R]:
        @functools.wraps(handler)
        def run(*arguments: P.args, **options: P.kwargs) -> R:
            with tenant_session(engine, tenant_of(*arguments, **options)) as session:
                return handler(session, *arguments, **options)

        del run.__dict__["__wrapped__"]  # its signature is the caller's: without the session
        return run

    return decorate
