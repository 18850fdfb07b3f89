"""Sessions and connections: of one tenant, of none, and of all for maintenance.

A block is entered with what it serves and commits when it ends; an exception rolls it back. Commits and rollbacks
within it are allowed: the next transaction of the block has the same tenant. `schema.client.aio` is its asyncio twin.
"""

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine

from infra.config.settings import Role
from schema.client.dialect import AsyncTenantDialect, TenantDialect, engine_of
from schema.client.handlers import refuse_later_work, refuse_unless_plain
from schema.client.logs import log
from schema.client.orm import BlockSession, TenantSession
from schema.errors import ContextFault, TenantContextError
from schema.tenancy.context import NoTenant, TenantBlock, tenant_id, user_id

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def tenant_session(engine: Engine, tenant: UUID | str, *, user: UUID | str | None = None) -> Iterator[TenantSession]:
    """Open an ORM session of `tenant`: committed when the block ends, rolled back when it raises.

    `user` is what policies see as `current_setting('app.user_id')`, set with each BEGIN; without one it is empty. What
    answers for the block's work answers after the block, because the commit may fail. In FastAPI a dependency does so
    with the scope "function":

        def session(tenant: Annotated[UUID, Depends(current_tenant)]) -> Iterator[TenantSession]:
            with tenant_session(engine, tenant) as session:
                yield session

        TenantSessionDep = Annotated[TenantSession, Depends(session, scope="function")]

    Raises:
        TenantContextError: `tenant` is missing or not a uuid, `user` is no text, a block of another tenant is open
            here, `engine` is not the application's, or the session is used after the block.
    """
    identifier = tenant_id(tenant)
    with TenantBlock(identifier), TenantSession(engine, tenant=identifier, user=user) as session:
        try:
            yield session
            session.commit()
        finally:
            session.end()


@contextmanager
def tenant_connection(engine: Engine, tenant: UUID | str, *, user: UUID | str | None = None) -> Iterator[Connection]:
    """Open a connection of `tenant`, for statements without the ORM: committed when the block ends.

    Raises:
        TenantContextError: as `tenant_session`.
    """
    identifier = tenant_id(tenant)
    with TenantBlock(identifier), engine_of(identifier, engine, user_id(user)).connect() as connection:
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
def maintenance_session(engine: Engine, *, reason: str, read_only: bool = True) -> Iterator[BlockSession]:
    """Open a session that sees every tenant, on an engine of `schema.client.maintenance_engine`.

    `reason` says what it is for; it is logged, with the role and the database, before anything is read.

    Raises:
        TenantContextError: no reason is given, or `engine` is the application's.
    """
    announce_maintenance(engine, reason, read_only=read_only)
    with BlockSession(engine.execution_options(postgresql_readonly=read_only)) as session:
        try:
            yield session
            session.commit()
        finally:
            session.end()


def announce_maintenance(engine: Engine, reason: str, *, read_only: bool) -> None:
    """Log what a session across tenants is for.

    Raises:
        TenantContextError: no reason is given, or `engine` is the application's.
    """
    if not reason.strip():
        raise TenantContextError(
            "A session across tenants needs a reason, for the log. Pass reason='…'.", fault=ContextFault.NO_REASON
        )
    if isinstance(engine.dialect, TenantDialect | AsyncTenantDialect):
        raise TenantContextError(
            "The application's engine serves one tenant at a time. Pass the maintenance_engine(url, settings) of "
            f"schema.client, or under asyncio that of schema.client.aio, with the URL of {Role.MAINTENANCE} "
            "(DATABASE_MAINTENANCE_URL).",
            fault=ContextFault.OTHER_ENGINE,
        )
    log(
        logging.WARNING,
        "maintenance session",
        reason=reason,
        role=engine.url.username,
        database=engine.url.database,
        read_only=read_only,
    )


def in_tenant_session(
    engine: Engine, tenant_of: Callable[P, UUID | str], *, user_of: Callable[P, UUID | str | None] | None = None
) -> Callable[[Callable[Concatenate[TenantSession, P], R]], Callable[P, R]]:
    """Make a decorator for handlers, of any framework: they are called with the session of their tenant first.

    `tenant_of` is called with the handler's own arguments and returns the tenant, such as from the request; `user_of`
    the user. The commit is made before the handler's caller has its result:

        @in_tenant_session(engine, lambda request: request.user.tenant_id)
        def list_users(session: TenantSession, request: Request) -> Response: ...

    Raises:
        TypeError: (when it decorates) the handler is a coroutine function or a generator; (when called) it returned
            what is to be awaited or iterated over afterwards, and what it wrote is rolled back.
    """

    def decorate(handler: Callable[Concatenate[TenantSession, P], R]) -> Callable[P, R]:
        refuse_unless_plain(handler)

        @functools.wraps(handler)
        def run(*arguments: P.args, **options: P.kwargs) -> R:
            user = user_of(*arguments, **options) if user_of else None
            with tenant_session(engine, tenant_of(*arguments, **options), user=user) as session:
                result = handler(session, *arguments, **options)
                refuse_later_work(handler, result)
                return result

        del run.__dict__["__wrapped__"]  # its signature is the caller's: without the session
        return run

    return decorate
