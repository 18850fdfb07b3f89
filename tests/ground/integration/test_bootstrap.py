"""`bootstrap` on a server that nobody has prepared: as a superuser, and as a managed server's mere administrator."""

from dataclasses import replace
from typing import Any

import pytest

from infra.config.errors import ConfigError
from infra.config.secret import Secret
from infra.config.settings import Role
from infra.config.urls import DatabaseUrl
from schema.admin.bootstrap import bootstrap, script
from schema.admin.rotation import retire, rotate
from schema.client.connection import connect
from schema.errors import DatabaseUnavailable, RightsError
from tests.kit.bare_server import SETTINGS, ask, psql, role_at
from tests.kit.errors import about

NAMES = ["app_maintenance", "app_owner", "app_user"]
URLS = {
    Role.OWNER: "database_owner_url",
    Role.USER: "database_url",
    Role.MAINTENANCE: "database_maintenance_url",
}


def prepared(superuser: DatabaseUrl) -> dict[str, list[tuple[Any, ...]]]:
    """Return what the product has on the server: roles, memberships, database, and rights in it."""
    return {
        "roles": ask(
            superuser,
            "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolbypassrls FROM pg_roles"
            " WHERE rolname LIKE 'app\\_%' ORDER BY 1",
        ),
        "members": ask(
            superuser,
            "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members"
            " WHERE member::regrole::text LIKE 'app\\_%' ORDER BY 1, 2",
        ),
        "database": ask(
            superuser,
            "SELECT pg_get_userbyid(datdba), grantee::regrole::text, privilege_type"
            " FROM pg_database, aclexplode(datacl) WHERE datname = 'app' ORDER BY 1, 2, 3",
        ),
        "schemas": ask(
            superuser.on("app"),
            "SELECT nspname, grantee::regrole::text, privilege_type"
            " FROM pg_namespace, aclexplode(nspacl) WHERE nspname IN ('public', 'app') ORDER BY 1, 2, 3",
        ),
    }


def log_in(superuser: DatabaseUrl, role: Role) -> None:
    """Connect to the application's database as a role, with the settings' password."""
    ask(replace(superuser, user=str(role), password=SETTINGS.role_password(role), database="app"), "SELECT 1")


def test_a_superuser_prepares_everything(superuser: DatabaseUrl) -> None:
    """All is as the design has it, nothing is refused, and every role logs in; a second run makes nothing."""
    assert bootstrap(superuser, SETTINGS).refused == ()
    found = prepared(superuser)
    assert found["roles"] == [
        ("app_maintenance", False, False, False, True, True),
        ("app_owner", False, False, True, True, False),
        ("app_user", False, False, False, True, False),
    ]
    assert found["members"] == [("pg_read_all_data", "app_maintenance")]
    assert ("app_owner", "app_user", "CONNECT") in found["database"]
    for role in Role:
        log_in(superuser, role)
    again = bootstrap(superuser, SETTINGS)
    assert (again.made, again.refused) == ((), ())


def test_a_mere_administrator_prepares_what_it_may(superuser: DatabaseUrl, manager: DatabaseUrl) -> None:
    """What such a server refuses is named with what to do instead; all the rest is as a superuser makes it."""
    done = bootstrap(manager, SETTINGS)
    assert [each.violation for each in done.refused] == [
        "app_maintenance lacks BYPASSRLS",
        "app_maintenance is no member of pg_read_all_data",
    ]
    assert all(each.fallback for each in done.refused)
    by_manager = prepared(superuser)
    bootstrap(superuser, SETTINGS)
    by_superuser = prepared(superuser)
    assert by_manager["roles"][0] == ("app_maintenance", False, False, False, True, False)
    assert by_manager["roles"][1:] == by_superuser["roles"][1:]
    assert by_manager["members"] == []
    assert (by_manager["database"], by_manager["schemas"]) == (by_superuser["database"], by_superuser["schemas"])


@pytest.mark.parametrize("whom", ["superuser", "manager"])
def test_the_script_does_the_same(whom: str, superuser: DatabaseUrl, request: pytest.FixtureRequest) -> None:
    """What psql makes of the script is what `bootstrap` makes; it can be run again, and holds no password."""
    admin: DatabaseUrl = request.getfixturevalue(whom)
    text = script(SETTINGS)
    assert not [role for role in Role if SETTINGS.role_password(role).reveal() in text]
    for done in (psql(admin, text), psql(admin, text)):
        assert done.returncode == 0, done.stderr
        warned = [line for line in done.stderr.splitlines() if "WARNING" in line]
        assert len(warned) == (0 if whom == "superuser" else 2)
    by_script = prepared(superuser)
    made = bootstrap(admin, SETTINGS).made
    assert (made, prepared(superuser)) == ((), by_script)


def test_the_script_ends_where_something_does_not_hold(superuser: DatabaseUrl) -> None:
    """What the script cannot make is its error, not its silence: a grant that only somebody else can take back."""
    bootstrap(superuser, SETTINGS)
    ask(
        superuser.on("app"),
        "CREATE ROLE other",
        "GRANT USAGE ON SCHEMA app TO other WITH GRANT OPTION",
        "SET ROLE other",
        "GRANT USAGE ON SCHEMA app TO PUBLIC",
    )
    try:
        done = psql(superuser, script(SETTINGS))
        assert done.returncode == 3
        assert "public may use schema app" in done.stderr
        with pytest.raises(
            RightsError, check=lambda error: any("public may use schema app" in each for each in error.violations)
        ):
            bootstrap(superuser, SETTINGS)
    finally:
        ask(superuser.on("app"), "DROP OWNED BY other CASCADE", "DROP ROLE other")


def test_a_password_that_was_changed_is_put_back_by_the_script(superuser: DatabaseUrl) -> None:
    """After the script each role logs in with the settings' password."""
    bootstrap(superuser, SETTINGS)
    ask(superuser, "ALTER ROLE app_user PASSWORD 'another'")
    assert psql(superuser, script(SETTINGS)).returncode == 0
    log_in(superuser, Role.USER)


def test_passwords_come_from_the_urls_that_are_set(superuser: DatabaseUrl) -> None:
    """Where a role's URL is set, its password is the role's."""
    url = replace(superuser, user="app_user", password=Secret("in-the-url"), database="app")
    bootstrap(superuser, replace(SETTINGS, database_url=url))
    assert ask(url, "SELECT current_user") == [("app_user",)]


def test_another_name_in_a_url_is_refused(superuser: DatabaseUrl) -> None:
    """Migrations grant by the design's names, so a URL that names another role is an error, and nothing is made."""
    url = replace(superuser, user="somebody", database="app")
    with pytest.raises(ConfigError, match="app_user names the role somebody"):
        bootstrap(superuser, replace(SETTINGS, database_url=url))
    assert ask(superuser, f"SELECT rolname FROM pg_roles WHERE rolname = ANY('{{{','.join(NAMES)}}}')") == []


def test_who_may_not_create_roles_is_told(superuser: DatabaseUrl) -> None:
    """A role without rights gets one paragraph that says what kind of administrator is needed."""
    ask(superuser, "CREATE ROLE nobody_much LOGIN PASSWORD 'x'")
    try:
        with pytest.raises(RightsError, check=about(sqlstate="42501")):
            bootstrap(replace(superuser, user="nobody_much", password=Secret("x")), SETTINGS)
    finally:
        ask(superuser, "DROP ROLE nobody_much")


def test_roles_of_another_administrator_are_named(superuser: DatabaseUrl, manager: DatabaseUrl) -> None:
    """Who may create roles may still not have those that another administrator made; the server's reason is shown."""
    bootstrap(superuser, SETTINGS)
    with pytest.raises(RightsError, match=r"ADMIN option.* as the one who made them"):
        bootstrap(manager, SETTINGS)


@pytest.mark.parametrize(
    ("damage", "role"),
    [
        ("DROP DATABASE app WITH (FORCE)", Role.OWNER),
        ("ALTER ROLE app_user PASSWORD 'another'", Role.USER),
        ("ALTER ROLE app_owner NOLOGIN", Role.OWNER),
        ("REVOKE CONNECT ON DATABASE app FROM app_user", Role.USER),
    ],
)
def test_what_refuses_a_connection_is_put_right_as_the_error_says(
    damage: str, role: Role, superuser: DatabaseUrl
) -> None:
    """The command that the error names is this one, and after it the role is let in."""
    bootstrap(superuser, SETTINGS)
    ask(superuser, damage)
    url = replace(superuser.on("app"), user=str(role), password=SETTINGS.role_password(role))
    with pytest.raises(DatabaseUnavailable, match=r"let `invoke bootstrap` make") as refused:
        connect(url, SETTINGS)
    assert not refused.value.transient
    bootstrap(superuser, SETTINGS)
    assert ask(url, "SELECT current_database(), current_user") == [("app", str(role))]


@pytest.mark.parametrize("role", Role)
def test_a_bare_administrator_changes_a_password(manager: DatabaseUrl, role: Role) -> None:
    """Without a superuser both logins of a role are let in, have its rights, and what the owner makes is the role's."""
    bootstrap(manager, SETTINGS)
    former = role_at(manager, role)
    new = rotate(manager, role, former, SETTINGS)
    assert [ask(url, "SELECT 1") for url in (former, new)] == [[(1,)], [(1,)]]
    with pytest.raises(RightsError, check=about(violations=(f"{new.user} may log in",))):
        rotate(manager, role, former, SETTINGS)
    assert ask(new, "SELECT 1") == [(1,)]
    if role is Role.OWNER:
        made = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'made'"
        assert ask(new, "CREATE TABLE made (id int)", made) == [(str(role),)]
    changed: dict[str, Any] = {URLS[role]: new}
    again = replace(SETTINGS, **changed)
    assert bootstrap(manager, again).made == ()
    retire(manager, role, former.user, new, again)
    assert bootstrap(manager, again).made == ()
    with pytest.raises(DatabaseUnavailable):
        ask(former, "SELECT 1")
    assert rotate(manager, role, new, again).user == former.user


def test_a_login_that_does_not_work_is_not_given_out(manager: DatabaseUrl) -> None:
    """Where the new login is refused nobody can use it, and the former one goes on working."""
    bootstrap(manager, SETTINGS)
    former = role_at(manager, Role.USER)
    ask(manager, "CREATE ROLE app_user_b VALID UNTIL '2000-01-01'")
    with pytest.raises(DatabaseUnavailable):
        rotate(manager, Role.USER, former, SETTINGS)
    assert ask(manager, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'app_user_b'") == [(False,)]
    assert ask(former, "SELECT 1") == [(1,)]


def test_the_script_makes_the_logins_whose_turn_it_is(superuser: DatabaseUrl) -> None:
    """Where a rotation has gone before, a new server gets the alternate logins as well, and they are let in."""
    turned = replace(SETTINGS, app_owner_alternate=True, app_user_alternate=True, app_maintenance_alternate=True)
    for _ in range(2):
        done = psql(superuser, script(turned))
        assert (done.returncode, done.stderr) == (0, "")
    assert bootstrap(superuser, turned).made == ()
    for role in Role:
        url = replace(role_at(superuser, role), user=turned.role_login(role))
        assert ask(url, f"SELECT pg_has_role('{role}', 'USAGE')") == [(True,)]
