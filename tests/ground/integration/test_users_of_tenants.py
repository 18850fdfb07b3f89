"""The user that a block names: set with BEGIN as the tenant is, for policies that narrow a tenant's rows to a person.

The kind: a name comes from outside (an identity provider, a form), so it is any text; it is text to the server too, and
ends with the transaction.
"""

import asyncio
from contextlib import closing
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, MetaData, Table, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from infra.config.settings import Role
from schema.client.aio.engine import create_async_engine
from schema.client.aio.session import in_tenant_session as in_async_tenant_session
from schema.client.aio.session import tenant_connection as async_tenant_connection
from schema.client.orm import TenantSession
from schema.client.session import in_tenant_session, tenant_connection, tenant_session, tenantless_connection
from schema.errors import ContextFault, TenantContextError
from schema.models.tenants import Tenant
from schema.tenancy.base import Base
from schema.tenancy.mixin import TenantMixin
from schema.tenancy.policies import restrictive_policy
from tests.ground.integration.conftest import Scratch
from tests.kit.database import MakeEngine
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

USER = text("SELECT current_setting('app.user_id')")
TENANT = text("SELECT current_setting('app.tenant_id')")


def test_any_text_is_a_user(single: Engine, tenant: UUID) -> None:
    """Quotes, backslashes, statements and every script arrive as they are, whatever the session makes of strings."""

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), st.booleans())
    @example("o'brien", False)
    @example("\\'; SET LOCAL app.tenant_id = ''; --", False)
    @example("a\\", True)
    @example("%s {x} :y $1", True)
    @example("表\N{GRINNING FACE}\n", False)
    def check(user: str, latin: bool) -> None:
        with tenant_connection(single, tenant, user=user) as connection:
            for strings in ("on", "off"):
                assert (connection.scalar(USER), connection.scalar(TENANT)) == (user, str(tenant))
                connection.exec_driver_sql(f"SET standard_conforming_strings = {strings}")
                if latin:
                    connection.exec_driver_sql("SET client_encoding = 'SJIS'")
                raw: Any = connection.connection.driver_connection
                raw.rollback() if strings == "on" else raw.commit()  # kept, in the second turn
                connection.rollback()
            connection.exec_driver_sql("RESET ALL")
            assert connection.scalar(USER) == ""

    check()


@pytest.mark.parametrize("user", ["", "a\0b", "\ud800", 7, True, b"ada", ["ada"]])
def test_anything_else_is_refused(user: Any, single: Engine, tenant: UUID) -> None:
    """What is no text that the server could hold is an error before anything is asked."""
    for block in (tenant_session, tenant_connection):
        with (
            pytest.raises(TenantContextError, check=about(fault=ContextFault.NOT_A_USER)),
            block(single, tenant, user=user),
        ):
            pass


def test_the_user_ends_with_its_block(single: Engine, tenant: UUID) -> None:
    """Every transaction of the block has the user; the next block, nobody and psycopg's own connection have none."""
    user = uuid4()
    with tenant_session(single, tenant, user=user) as session:
        assert session.user == str(user)
        for _ in range(2):
            assert session.scalar(USER) == str(user)
            session.commit()
        with tenant_connection(single, tenant, user="other") as connection_of_another_turn:
            assert connection_of_another_turn.scalar(USER) == "other"
    for block in (tenant_connection(single, tenant), tenantless_connection(single)):
        with block as connection:
            assert connection.scalar(USER) == ""
    with closing(single.raw_connection()) as raw, closing(raw.cursor()) as cursor:
        cursor.execute("SELECT coalesce(current_setting('app.user_id', true), '')")
        assert cursor.fetchone() == ("",)


def test_a_user_is_not_changed(single: Engine, tenant: UUID) -> None:
    """A connection's engine serves the user that it was made for."""
    with tenant_connection(single, tenant, user="ada") as connection:
        with pytest.raises(TenantContextError, check=about(fault=ContextFault.OTHER_USER, wanted="eve", serves="ada")):
            TenantSession(connection.engine, tenant=tenant, user="eve")
        with pytest.raises(TenantContextError, check=about(fault=ContextFault.OTHER_USER, wanted=None, serves="ada")):
            TenantSession(connection.engine, tenant=tenant)


def test_a_handler_has_its_user(single: Engine, tenant: UUID) -> None:
    """The decorator asks for the user as for the tenant."""

    @in_tenant_session(single, lambda request: request["tenant"], user_of=lambda request: request["user"])
    def handle(session: TenantSession, request: dict[str, Any]) -> Any:
        return session.scalar(USER), request["user"]

    assert handle({"tenant": tenant, "user": "ada"}) == ("ada", "ada")
    assert handle({"tenant": tenant, "user": None}) == ("", None)


def test_asyncio_has_users_too(stack: RunningStack, tenant: UUID) -> None:
    """Connections, sessions and handlers under asyncio name theirs in the same way."""

    async def main() -> list[Any]:
        engine = create_async_engine(stack.url(Role.USER), stack.settings)

        @in_async_tenant_session(engine, lambda _: tenant, user_of=lambda user: user)
        async def handle(session: AsyncSession, _user: str) -> Any:
            return await session.scalar(USER)

        async with async_tenant_connection(engine, tenant, user="o'brien") as connection:
            seen = [await connection.scalar(USER), await handle("ada")]
        async with async_tenant_connection(engine, tenant) as connection:
            seen.append(await connection.scalar(USER))
        await engine.dispose()
        return seen

    assert asyncio.run(main()) == ["o'brien", "ada", ""]


def test_a_policy_for_a_user_shows_nothing_without_one(
    scratch: Scratch, declared: MetaData, stack: RunningStack, make_engine: MakeEngine
) -> None:
    """As the page has it: a user sees the own rows of the tenant; without one there are none, not even a nameless."""

    class Product(DeclarativeBase):
        metadata = declared
        type_annotation_map = Base.type_annotation_map

    class Memo(TenantMixin, Product):
        __tablename__ = "memos"
        __policies__ = (
            restrictive_policy(
                "own_rows", "author = (SELECT nullif(current_setting('app.user_id', true), ''))", check="true"
            ),
        )

        author: Mapped[str] = mapped_column(primary_key=True)

    scratch.generate("Add memos", declared)
    scratch.upgrade()
    engine = make_engine(stack.url(Role.USER).on(scratch.url.database))
    tenants = [uuid4(), uuid4()]
    for tenant in tenants:
        with tenant_session(engine, tenant) as session:
            session.add(Tenant(tenant_id=tenant, name="Acme", slug=str(tenant)))
            session.flush()
            authors = [{"author": author} for author in ("ada", "o'brien", "")]
            session.execute(insert(cast(Table, Memo.__table__)), authors)
    for user, seen in (("ada", ["ada"]), ("o'brien", ["o'brien"]), ("eve", []), (None, [])):
        with tenant_session(engine, tenants[0], user=user) as session:
            assert session.scalars(select(Memo.author)).all() == seen
