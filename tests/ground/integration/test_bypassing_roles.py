"""Roles that row level security does not hold may not serve the application."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy import Engine
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from infra.config.secret import Secret
from infra.config.settings import Role
from infra.config.urls import DatabaseUrl
from schema.client.aio.engine import create_async_engine
from schema.client.connection import BoundedConnection
from schema.client.session import tenantless_connection
from schema.errors import RoleBypassesIsolation
from tests.kit.database import MakeEngine
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

MakeRole = Callable[..., DatabaseUrl]


@pytest.fixture
def make_role(stack: RunningStack, admin: BoundedConnection) -> Iterator[MakeRole]:
    """Make login roles with some attributes and memberships; they are dropped afterwards."""
    made: list[str] = []

    def make(attributes: str = "", member_of: str | None = None) -> DatabaseUrl:
        name, password = f"test_{secrets.token_hex(4)}", secrets.token_hex(8)
        admin.execute(SQL("CREATE ROLE {} LOGIN PASSWORD {} " + attributes).format(Identifier(name), Literal(password)))
        made.append(name)
        admin.execute(SQL("GRANT CONNECT ON DATABASE app TO {}").format(Identifier(name)))
        if member_of:
            admin.execute(SQL("GRANT {} TO {} WITH INHERIT FALSE").format(Identifier(member_of), Identifier(name)))
        return replace(stack.url(Role.USER), user=name, password=Secret(password))

    yield make
    for name in reversed(made):
        admin.execute(SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(Identifier(name)))


def refusal(engine: Engine) -> str:
    """Return why the engine does not connect."""
    with pytest.raises(RoleBypassesIsolation) as refused, tenantless_connection(engine) as connection:
        connection.connection  # noqa: B018 - connects
    return str(refused.value)


def test_a_superuser_is_refused(stack: RunningStack, make_engine: MakeEngine) -> None:
    """The message names the role, the database and the setting to change, and no password."""
    said = refusal(make_engine(stack.admin.on("app")))
    assert said.startswith(f"{stack.admin.user} may not serve the application on database 'app' at 127.0.0.1:")
    assert "it is a superuser" in said
    assert "DATABASE_URL" in said
    assert stack.admin.password.reveal() not in said


def test_a_role_with_bypassrls_is_refused(stack: RunningStack, make_engine: MakeEngine) -> None:
    """The maintenance role reads every tenant, so it serves none."""
    assert "app_maintenance may not" in refusal(make_engine(stack.url(Role.MAINTENANCE)))
    assert "a role with BYPASSRLS" in refusal(make_engine(stack.url(Role.MAINTENANCE)))


def test_the_owner_is_refused(stack: RunningStack, make_engine: MakeEngine) -> None:
    """FORCE holds the owner only until it says otherwise; one of its tables is named."""
    assert "it is the owner of table" in refusal(make_engine(stack.url(Role.OWNER)))


@pytest.mark.parametrize(
    ("group", "how"),
    [("app_owner", "the owner of table"), ("app_maintenance", "a role with BYPASSRLS"), (None, "a superuser")],
)
def test_a_member_is_refused(
    group: str | None, how: str, stack: RunningStack, make_engine: MakeEngine, make_role: MakeRole
) -> None:
    """What a role may become counts, also where it inherits nothing."""
    holder = group or stack.admin.user
    said = refusal(make_engine(make_role(member_of=holder)))
    assert f"a member of {holder}, which is {how}" in said


def test_membership_through_another_role_counts(make_engine: MakeEngine, make_role: MakeRole) -> None:
    """A member of a member of the owner may become the owner."""
    between = make_role(member_of="app_owner").user
    assert "a member of app_owner" in refusal(make_engine(make_role(member_of=between)))


def test_a_role_that_owns_nothing_is_served(make_engine: MakeEngine, make_role: MakeRole) -> None:
    """The refusal is no matter of the name."""
    with tenantless_connection(make_engine(make_role())) as connection:
        assert connection.connection.driver_connection


def test_every_new_connection_is_asked(make_engine: MakeEngine, make_role: MakeRole, admin: BoundedConnection) -> None:
    """A role that was given the right in the meantime is refused when the engine connects again."""
    url = make_role()
    engine = make_engine(url, database_pool_budget=1, database_processes=1)
    with tenantless_connection(engine) as connection:
        assert connection.connection.driver_connection
    with changed(admin, url.user):
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", [url.user]
        ).fetchall()
        assert "a role with BYPASSRLS" in refusal(engine)
    with tenantless_connection(engine) as connection:
        assert connection.connection.driver_connection


@contextmanager
def changed(admin: BoundedConnection, role: str) -> Iterator[None]:
    """Let a role bypass row level security for the block."""
    admin.execute(SQL("ALTER ROLE {} BYPASSRLS").format(Identifier(role)))
    yield
    admin.execute(SQL("ALTER ROLE {} NOBYPASSRLS").format(Identifier(role)))


def test_a_refused_connection_is_closed(
    stack: RunningStack, make_engine: MakeEngine, make_role: MakeRole, admin: BoundedConnection
) -> None:
    """Nothing stays connected as a role that was refused, on an engine for asyncio either."""
    url = make_role("BYPASSRLS")
    refusal(make_engine(url))

    async def use() -> None:
        engine = create_async_engine(url, stack.settings)
        try:
            await engine.raw_connection()
        finally:
            await engine.dispose()

    with pytest.raises(RoleBypassesIsolation, match="BYPASSRLS"):
        asyncio.run(use())
    count = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
    # A server process ends a moment after its client has gone.
    gone = Retrying(retry=retry_if_result(lambda left: left != (0,)), stop=stop_after_delay(10), wait=wait_fixed(0.02))
    gone(lambda: admin.execute(count, [url.user]).fetchone())
