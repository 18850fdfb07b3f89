"""What other tools find on the suite's damages, `invoke check` finds too: pgrls, a linter, and rlsgrid, which attacks.

They are no dependencies of the tests: `pip install -e '.[peers]'` installs them.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from infra.config.settings import CHECKOUT, Role, function_schema
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from tests.ground.integration.isolation.conftest import Attack, findings, found
from tests.ground.integration.isolation.damages import HARMLESS
from tests.ground.integration.isolation.test_probe import LEAKS
from tests.ground.integration.isolation.test_rules import EVERY, IDS, do
from tests.kit.stack import RunningStack

pytestmark = [pytest.mark.one_backend, pytest.mark.slow]

CONFIG = CHECKOUT / "schema" / "isolation" / "pgrls.toml"

# What it says of changes that are none, and why that is no matter of isolation.
ANSWERED = {
    "PERF003": "an index is a matter of speed; of the tenant's predicate the keys are one",
    "VIEW002": "the policies of the tables below are a barrier themselves, in a view with its invoker's rights",
    "SEC027": "a principal's column is none of the tenant's, whose policies narrow it",
}
# The one role that each names, where the check names another.
OTHERWISE = {
    ("SEC029", "Web.App"): "the check names the role that bypasses, and its fix is about that",
    ("SEC016", "somebody"): "the application cannot become that role",
}
# What it says of objects on which the application has no right.
UNREACHABLE = {"SEC001", "VIEW001", "VIEW003"}
# The server takes unique prefixes of a boolean, as `tru` (PostgreSQL manual, 8.6); pgrls does not know them.
PREFIX = "security_invoker = 'tru'"


# rlsgrid says whose a session is by a call of set_config without a schema, and of request.jwt.claims alone. On its own
# connections the name leads here first, which sets what the policies read. Its tenants all have the same name and slug.
AS_CLAIMED = """
    CREATE SCHEMA claimed;
    GRANT USAGE ON SCHEMA claimed TO app_user;
    CREATE FUNCTION claimed.set_config(name text, value text, is_local bool) RETURNS text LANGUAGE sql
        AS $$ SELECT pg_catalog.set_config('app.tenant_id', value::jsonb ->> 'tenant_id', is_local) $$;
    ALTER TABLE tenants ALTER slug SET DEFAULT gen_random_uuid()
"""
FIRST = {"options": "-c search_path=claimed,pg_catalog,public"}
# What of the check's attacks does what a statement of its does.
ATTACKS = {"SELECT": "read", "UPDATE": "update", "DELETE": "delete", "INSERT": "insert"}
# The leaks that it gets through. It passes by a table with row level security off, and attacks by primary keys alone.
THROUGH = (
    *("a predicate that is true", "a role that bypasses", "an owner that is not bound"),
    *("rows that are shown to whoever has some", "a key across tenants whose row is open"),
)


def violations(connection: BoundedConnection) -> Iterator[Any]:
    """Yield what pgrls finds beyond what its configuration answers."""
    pgrls = pytest.importorskip("pgrls.introspect", reason="pgrls is not installed: pip install -e '.[peers]'")
    rules = pytest.importorskip("pgrls.rules")
    config = pytest.importorskip("pgrls.config").load_config(CONFIG)
    schema = pgrls.introspect(connection, ["public", function_schema()])
    for rule in rules.default_registry().enabled(disabled_ids=config.disable):
        yield from rule.check(schema, config.rule_options.get(rule.id, {}))


def test_a_linter_finds_nothing_in_the_schema(damage: BoundedConnection) -> None:
    """Whatever it says of the product's own schema is answered, with a reason, in its configuration."""
    assert [(violation.rule_id, violation.location) for violation in violations(damage)] == []


@pytest.mark.parametrize(("user", "statements", "_"), EVERY, ids=IDS)
def test_the_check_finds_what_a_linter_finds(user: str, statements: str, _: object, damage: BoundedConnection) -> None:
    """Each object that pgrls names is named by a finding of the check."""
    do(damage, statements)
    said_by_us = " ".join(map(str, findings(damage, user)))
    for violation in violations(damage):
        parts = violation.location.split(".")
        name = parts[1] if len(parts) > 1 else parts[0]
        said = (violation.rule_id, violation.location)
        assert name in said_by_us or violation.rule_id in ANSWERED or said in OTHERWISE, said


@pytest.mark.parametrize("statements", [statements for statements in HARMLESS if PREFIX not in statements])
def test_a_linter_finds_no_more_in_what_is_sound(statements: str, damage: BoundedConnection) -> None:
    """What it says of what the check calls sound is of speed, or of what the application may not reach."""
    do(damage, statements)
    for violation in violations(damage):
        if violation.rule_id in UNREACHABLE:
            reachable = f"has_any_column_privilege('{Role.USER}', %s, 'SELECT, INSERT, UPDATE')"
            assert damage.execute(f"SELECT {reachable}", [violation.location]).fetchone() == (False,)
        else:
            assert violation.rule_id in ANSWERED, (violation.rule_id, violation.location)


def breaches(attacked: DatabaseUrl, stack: RunningStack) -> tuple[set[tuple[str, str]], set[str]]:
    """Let rlsgrid attack a clone; return what it got through, as the check's attacks, and the tables that it filled."""
    reason = "rlsgrid is not installed: pip install -e '.[peers]'"
    config = pytest.importorskip("rlsgrid.config", reason=reason)
    fixtures, chaos = pytest.importorskip("rlsgrid.fixtures"), pytest.importorskip("rlsgrid.fuzz.chaos")
    admin = stack.admin.on(attacked.database)
    with connect(admin, stack.settings, autocommit=True) as connection:
        connection.execute(AS_CLAIMED)
    pointed = config.Config(
        config.ConnectionConfig(replace(admin, query=FIRST).libpq()),
        roles=config.RolesConfig({"app_user": "the application"}),
    )
    schema = pytest.importorskip("rlsgrid.introspect").introspect(pointed)
    tenants = fixtures.seed_tenants(schema, pointed, tenants=2).tenants
    through = {(ATTACKS[found.operation], found.table) for found in chaos.run(schema, pointed, tenants).breaches}
    return through, set.intersection(*({*tenant.rows_by_table} for tenant in tenants))


def test_an_attacker_is_whom_it_claims_to_be(clone: DatabaseUrl, stack: RunningStack) -> None:
    """As one of two tenants with rows in every table rlsgrid sees that one's, and gets through nowhere."""
    through, filled = breaches(clone, stack)
    assert (through, filled) == (set(), {"public.tenants", "public.users", "public.tenant_features"})
    with connect(replace(stack.admin.on(clone.database), query=FIRST), stack.settings) as attacker:
        [tenant, _] = [found for (found,) in attacker.execute("SELECT tenant_id::text FROM tenants").fetchall()]
        attacker.execute("SET LOCAL ROLE app_user")
        claims = json.dumps({"tenant_id": tenant})
        attacker.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
        assert attacker.execute("SELECT tenant_id::text FROM users").fetchall() == [(tenant,)]


@pytest.mark.parametrize("what", THROUGH)
def test_the_attacks_get_through_where_another_attacker_does(
    what: str, clone: DatabaseUrl, stack: RunningStack, attack: Attack
) -> None:
    """Whatever rlsgrid reads, changes or deletes of another tenant's, the check's own attacks do as well."""
    probed = attack(LEAKS[what][0])
    through, _ = breaches(clone, stack)
    assert through
    assert through <= found(probed)
