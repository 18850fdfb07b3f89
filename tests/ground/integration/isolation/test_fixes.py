"""Fixes that no transaction runs, what a fix must leave working, and the role that the check is told of."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from infra.config.scram import scram_verifier
from infra.config.settings import AppEnv, Role, SslMode
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.isolation.check import check
from schema.isolation.finding import Finding
from schema.isolation.probe import probe
from schema.isolation.reading import read
from schema.tenancy.functions import FUNCTIONS, Function
from tests.ground.integration.isolation.conftest import broken, findings
from tests.ground.integration.isolation.damaged_code import RESOLVE
from tests.kit.stack import RunningStack

WEBAPP = '"Web ""App"""'

pytestmark = pytest.mark.one_backend


def do(connection: BoundedConnection, fix: str) -> None:
    """Run the statements of a fix one by one, as psql does: some may be in no transaction, not even with another."""
    for statement in fix.split("; "):
        connection.execute(statement.encode())


@contextmanager
def everywhere(stack: RunningStack, name: str, value: str) -> Iterator[None]:
    """Set a parameter for the whole server, and wait until new sessions have it."""
    with connect(stack.admin, stack.settings, autocommit=True) as admin:
        # A setting of nobody's is known once the session has it.
        do(admin, f"SET {name} = {value}; ALTER SYSTEM SET {name} = {value}; SELECT pg_reload_conf()")
        try:
            await_everywhere(stack, name, value)
            yield
        finally:
            do(admin, f"ALTER SYSTEM RESET {name}; SELECT pg_reload_conf()")


def await_everywhere(stack: RunningStack, name: str, *values: str) -> None:
    """Open sessions until one has a value: the server reads its files again when it comes to it."""
    for _ in range(1000):
        with connect(stack.url(Role.OWNER), stack.settings) as owner:
            row = owner.execute("SELECT coalesce(current_setting(%s, true), '')", [name]).fetchone()
        if row in {(value,) for value in values}:
            return
    raise AssertionError(f"{name} never was one of {values}")


@pytest.mark.parametrize(
    ("name", "value", "default"),
    [
        ("session_replication_role", "replica", "origin"),
        ("row_security", "off", "on"),
        ("lo_compat_privileges", "on", "off"),
        ("app.tenant_id", "nobody", ""),
    ],
)
def test_what_the_server_sets_for_all_is_found_and_reset(
    name: str, value: str, default: str, stack: RunningStack
) -> None:
    """A setting of the server's own files is a finding to the owner, who cannot read these, and its fix resets it."""
    with everywhere(stack, name, value):
        with connect(stack.url(Role.OWNER), stack.settings) as owner:
            [found] = findings(owner)
        assert (found.rule, found.object) == ("session-default", f"{name} OF SYSTEM")
        with connect(stack.admin, stack.settings, autocommit=True) as admin:
            do(admin, found.fix)
        await_everywhere(stack, name, default)
        with connect(stack.url(Role.OWNER), stack.settings) as owner:
            assert broken(owner) == set()


def test_an_invalid_index_is_built_again(clone: DatabaseUrl, stack: RunningStack) -> None:
    """Its fix, in no transaction, leaves it valid, whatever it is called."""
    with connect(stack.admin.on(clone.database), stack.settings, autocommit=True) as admin:
        admin.execute(
            'ALTER INDEX uq_users_tenant_id_email RENAME TO "by E.mail, or not"; UPDATE pg_index SET indisvalid = false'
            """ WHERE indexrelid = '"by E.mail, or not"'::regclass"""
        )
        with connect(clone, stack.settings, autocommit=True) as owner:
            [found] = findings(owner)
            assert found.rule == "invalid-index"
            owner.execute(found.fix.encode())
            assert broken(owner) == set()


def test_the_directory_still_finds_tenants(damage: BoundedConnection) -> None:
    """Rows of the directory are taken from the application again, and sign-in works: policies would have ended it.

    The kind: a fix that closes a hole and breaks what the application needs.
    """
    damage.execute("GRANT SELECT ON tenant_directory TO app_user")
    [found] = findings(damage)
    damage.execute(f"SET LOCAL ROLE app_owner; {found.fix}; SET LOCAL ROLE app_user".encode())
    assert damage.execute("SELECT app.resolve_tenant('a', NULL) IS NOT NULL").fetchone() == (True,)


def test_a_digest_is_of_what_a_function_does(damage: BoundedConnection) -> None:
    """Whose a function is and who may call it leaves its digest; its body, its settings and its arguments do not."""

    def digest() -> str:
        [found] = [each for each in read(damage).functions if each.signature == "app.resolve_tenant(text,text)"]
        return found.sha256

    first = digest()
    damage.execute(
        "ALTER FUNCTION app.resolve_tenant OWNER TO postgres; GRANT EXECUTE ON FUNCTION app.resolve_tenant TO PUBLIC"
    )
    assert digest() == first
    digests = {first}
    for change in (
        "ALTER FUNCTION app.resolve_tenant SET work_mem = '1MB'",
        "ALTER FUNCTION app.resolve_tenant VOLATILE",
        "ALTER FUNCTION app.resolve_tenant SECURITY INVOKER",
        RESOLVE,
    ):
        damage.execute(change.encode())
        assert digest() not in digests
        digests.add(digest())


@pytest.fixture
def webapp(stack: RunningStack, clone: DatabaseUrl) -> Iterator[DatabaseUrl]:
    """Give the URL of a login role of a product's own, a member of app_user with a right more."""
    url = replace(stack.url(Role.USER), user='Web "App"', database=clone.database)
    with connect(stack.admin.on(clone.database), stack.settings, autocommit=True) as admin:
        verifier = scram_verifier(url.user, url.password)
        admin.execute(
            f"CREATE ROLE {WEBAPP} LOGIN PASSWORD '{verifier}'; GRANT app_user TO {WEBAPP};"
            f"GRANT TRUNCATE ON users TO {WEBAPP} WITH GRANT OPTION".encode()
        )
        yield url
        admin.execute(f"DROP OWNED BY {WEBAPP}; DROP ROLE {WEBAPP}".encode())


def test_the_check_judges_the_role_of_the_url(stack: RunningStack, clone: DatabaseUrl, webapp: DatabaseUrl) -> None:
    """What DATABASE_URL names is what serves requests, whatever rights the tables' own role has."""

    def found(user: DatabaseUrl) -> list[Finding]:
        production = replace(stack.settings, app_env=AppEnv.PRODUCTION, database_sslmode=SslMode.PREFER)
        return list(check(clone, user, production).findings)

    assert found(stack.url(Role.USER)) == []
    [finding] = found(webapp)
    assert finding.object == f"TRUNCATE ON TABLE users TO {WEBAPP}"
    assert read_application(stack, clone, webapp) == (WEBAPP, "app_user")


@pytest.mark.parametrize(
    "granted",
    [
        "SELECT",
        f"REVOKE TRUNCATE ON users FROM {WEBAPP}; GRANT TRUNCATE ON users TO app_user",
        f"SET ROLE {WEBAPP}; GRANT TRUNCATE ON users TO PUBLIC",
    ],
    ids=["itself", "what it is a member of", "by it to everybody"],
)
def test_a_fix_of_the_attacks_is_about_the_role_of_the_url(
    granted: str, stack: RunningStack, clone: DatabaseUrl, webapp: DatabaseUrl
) -> None:
    """The attacks' SQL names the roles that were judged, as SQL quotes them: pasted by the owner it ends its finding.

    The kind: a fix that names the role of the suite's own stack, whichever one the application connects as.
    """

    def attack() -> list[Finding]:
        return list(probe(clone, webapp, stack.settings, {}, print).findings)

    with connect(stack.admin.on(clone.database), stack.settings, autocommit=True) as admin:
        admin.execute(granted.encode())
    found = attack()
    assert {finding.rule for finding in found} == {"probe-truncate"}
    [fix] = {finding.fix for finding in found}
    with connect(clone, stack.settings, autocommit=True) as owner:
        owner.execute(fix.encode())
    assert attack() == []


def read_application(stack: RunningStack, clone: DatabaseUrl, user: DatabaseUrl) -> tuple[str, ...]:
    """Return the roles that the application acts as, where it connects as a user."""
    with connect(clone, stack.settings) as owner:
        return read(owner, user.user).application


def test_a_function_of_types_to_come_is_left_out(damage: BoundedConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a migration has yet to make keeps the catalogue from nothing: the function is not there either."""
    declared = Function("app.total(app.money)", "CREATE FUNCTION app.total(app.money) RETURNS int RETURN 1")
    monkeypatch.setattr("schema.tenancy.functions.FUNCTIONS", (declared, *FUNCTIONS))
    assert broken(damage) == set()
    damage.execute("CREATE TYPE app.money AS (n int); CREATE FUNCTION app.total(app.money) RETURNS int RETURN 2")
    assert broken(damage) == {("function-changed", "app.total(app.money)")}


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE tenant_directory ENABLE ROW LEVEL SECURITY; GRANT SELECT ON tenant_directory TO app_user",
        "CREATE TABLE notes (tenant_id uuid); GRANT SELECT, UPDATE ON notes TO app_user",
        "ALTER TABLE users NO FORCE ROW LEVEL SECURITY; DROP POLICY tenant_permit ON users",
    ],
    ids=["the directory", "a table of no model", "a table of a model"],
)
def test_no_fix_takes_another_back(damage: str, stack: RunningStack, clone: DatabaseUrl) -> None:
    """What the catalogue's rules and the comparison with the models say of one table agrees, pasted one by one.

    The kind: rules that switch on in turns what the models switch off.
    """
    with connect(clone, stack.settings, autocommit=True) as owner:
        owner.execute(damage.encode())
        pasted: list[str] = []
        while found := check(clone, stack.url(Role.USER), stack.settings).findings:
            assert found[0].fix not in pasted
            pasted.append(found[0].fix)
            owner.execute(found[0].fix.encode())
    assert pasted
