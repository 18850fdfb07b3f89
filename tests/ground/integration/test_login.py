"""The login that costs no driver, held against the server's own and the driver's answers."""

from dataclasses import replace

import pytest
from psycopg.sql import SQL, Identifier

from infra.config.secret import Secret
from infra.config.settings import Role
from infra.stack.login import LoginFailed, ask
from schema.admin.roles import password_statement
from schema.client.connection import BoundedConnection
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend


@pytest.mark.parametrize("role", Role)
def test_a_role_is_answered(role: Role, stack: RunningStack) -> None:
    """The first value of the first row is what the server says; without a row it is empty."""
    assert ask(stack.url(role), "SELECT current_user, 2 UNION ALL SELECT 'x', 3 ORDER BY 2") == str(role)
    assert ask(stack.url(role), "SELECT 'ü' || repeat('x', 9000)") == "ü" + "x" * 9000
    assert ask(stack.url(role), "SELECT NULL::text") == ask(stack.url(role), "SELECT WHERE false") == ""


@pytest.mark.parametrize("password", ["plain", "comma,equals=quote'\"\\", "spaces and ü ß 字", "%"])
def test_every_password_is_proven(password: str, stack: RunningStack, admin: BoundedConnection) -> None:
    """A password of any signs is the one whose verifier the driver made; another is refused."""
    name = Identifier("of_any_signs")
    admin.execute(SQL("CREATE ROLE {} LOGIN").format(name))
    try:
        settings = replace(stack.settings, app_user_password=Secret(password))
        admin.execute(password_statement(Role.USER, settings).replace("app_user", "of_any_signs").encode())
        url = replace(stack.admin, user="of_any_signs", password=Secret(password))
        assert ask(url, "SELECT current_user") == "of_any_signs"
        with pytest.raises(LoginFailed, match="authentication failed"):
            ask(replace(url, password=Secret(f"{password}x")), "SELECT 1")
    finally:
        admin.execute(SQL("DROP ROLE {}").format(name))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"port": 1}, "refused"), ({"database": "nowhere"}, "does not exist|permission"), ({"user": "nobody"}, "failed")],
)
def test_a_refusal_is_no_answer(changed: dict[str, object], reason: str, stack: RunningStack) -> None:
    """Where nobody listens or the server refuses, the reason is given and no password."""
    url = replace(stack.url(Role.USER), **changed)  # type: ignore[arg-type]  # the fields are named above
    with pytest.raises(LoginFailed, match=reason) as raised:
        ask(url, "SELECT 1")
    assert url.password.reveal() not in str(raised.value)


def test_a_query_that_fails_is_no_answer(stack: RunningStack) -> None:
    """What the server says of it is the reason."""
    with pytest.raises(LoginFailed, match="division by zero"):
        ask(stack.url(Role.USER), "SELECT 1 / 0")
