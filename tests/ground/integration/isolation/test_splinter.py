"""What splinter, Supabase's linter of a database, finds on the suite's damages, `invoke check` finds too.

Its lints are said again as facts, for this product's roles: where splinter asks for `anon` and `authenticated`, this
asks for the application's role, and where it asks for the schemas of its API, for every schema but the system's. Left
out are the lints of what only Supabase has: `auth.users` (0002, 0021), `user_metadata` (0015), queues (0019), buckets
(0025) and GraphQL (0026, 0027).
"""

from collections.abc import Iterator
from typing import LiteralString

import pytest

from infra.config.settings import Role
from schema.client.connection import BoundedConnection
from tests.ground.integration.isolation.conftest import findings
from tests.ground.integration.isolation.damages import HARMLESS
from tests.ground.integration.isolation.test_rules import EVERY, do

pytestmark = [pytest.mark.one_backend, pytest.mark.slow]

_OURS = "pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')"
_RELATIONS: LiteralString = (
    "SELECT relname FROM pg_class c WHERE relnamespace::regnamespace::text !~ '^(pg_|information_schema)'"
    " AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e') AND "
)
_REACHED: LiteralString = "has_any_column_privilege(%(user)s, c.oid, 'SELECT') AND "
_OPEN: LiteralString = "IN ('true', '(true)', '1=1', '(1=1)', '(1 = 1)')"

SECURITY: dict[str, LiteralString] = {
    "0007 policies where row security is off": _RELATIONS
    + "relkind = 'r' AND NOT relrowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)",
    "0008 row security without a policy": _RELATIONS
    + "relkind = 'r' AND relrowsecurity AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)",
    "0010 a view with its owner's rights": _RELATIONS
    + _REACHED
    + "relkind = 'v' AND NOT lower(coalesce(reloptions::text, '{}'))::text[]"
    " && '{security_invoker=1,security_invoker=true,security_invoker=yes,security_invoker=on}'::text[]",
    "0011 a function without a search_path": "SELECT proname FROM pg_proc p WHERE "
    + _OURS
    + " AND NOT EXISTS (SELECT FROM unnest(proconfig) AS setting WHERE setting LIKE 'search_path=%%')",
    "0013 and 0023 row security off": _RELATIONS + _REACHED + "relkind = 'r' AND NOT relrowsecurity",
    "0014 an extension in public": "SELECT extname FROM pg_extension WHERE extnamespace = 'public'::regnamespace",
    "0016 a materialized view": _RELATIONS + _REACHED + "relkind = 'm'",
    "0017 a foreign table": _RELATIONS + _REACHED + "relkind = 'f'",
    "0018 a type that an upgrade refuses": _RELATIONS
    + "EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND atttypid::regtype::text IN ('regcollation',"
    " 'regconfig', 'regdictionary', 'regnamespace', 'regoper', 'regoperator', 'regproc', 'regprocedure'))",
    "0022 an extension that is outdated": "SELECT name FROM pg_available_extensions"
    " WHERE installed_version <> default_version",
    "0024 a policy that always holds": "SELECT policyname FROM pg_policies JOIN pg_class c ON permissive = 'PERMISSIVE'"
    " AND c.oid = format('%%I.%%I', schemaname, tablename)::regclass AND relrowsecurity AND roles && ARRAY['public',"
    " %(user)s]::name[] AND (cmd IN ('UPDATE', 'DELETE', 'ALL') AND coalesce(lower(qual), 'true') "
    + _OPEN
    + " OR lower(with_check) "
    + _OPEN
    + " OR cmd = 'INSERT' AND with_check IS NULL)",
    "0028 and 0029 a SECURITY DEFINER function": "SELECT proname FROM pg_proc WHERE "
    + _OURS
    + " AND prosecdef AND has_function_privilege(%(user)s, oid, 'EXECUTE')",
}

SPEED: dict[str, LiteralString] = {
    "0001 a foreign key without an index": "SELECT conname FROM pg_constraint f WHERE contype = 'f'"
    " AND connamespace = 'public'::regnamespace AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = conrelid"
    " AND indisvalid AND (indkey::smallint[])[0:cardinality(conkey) - 1] = conkey)",
    "0003 a setting asked for each row": "SELECT policyname FROM pg_policies"
    " WHERE concat(qual, with_check) ~ '(current_setting|tenant_id)\\(' AND concat(qual, with_check) !~* 'select '",
    "0004 no primary key": _RELATIONS
    + "relkind = 'r' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)",
    "0006 permissive policies that are joined by OR": "SELECT tablename FROM pg_policies"
    " WHERE permissive = 'PERMISSIVE' GROUP BY tablename, cmd HAVING count(*) > 1",
    "0009 an index twice": "SELECT tablename FROM pg_indexes WHERE schemaname = 'public'"
    " GROUP BY tablename, replace(indexdef, indexname, '') HAVING count(*) > 1",
}

# What the lints say of the schema as it is, and why that stays.
ANSWERED = {
    "resolve_tenant": "allow-listed with its digest: an id is all that comes out of it",
    "tenant_id": "it has its caller's rights, names what it calls with its schema, and a SET clause costs each row",
    "set_updated_at": "a trigger's, with its caller's rights; it calls nothing but the system's now()",
    "uuid7": "it has its caller's rights, and a SET clause would cost each row that is added",
}
# Faults of the role that connects: whatever it may read besides follows from them and is listed there.
OF_THE_ROLE = {"application-role", "role-membership"}
# The server takes unique prefixes of a boolean, as `y` and `tru` (PostgreSQL manual, 8.6); splinter knows whole words.
PREFIXES = ("'y'", "'tru'")
# What a lint says of a damage that is none for isolation: of a table that the application may not reach, and of a
# function with its caller's rights, which does no more than its caller could.
_UNREACHABLE: LiteralString = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND NOT has_table_privilege(%(user)s, oid,"
    " 'SELECT, INSERT, UPDATE, DELETE') AND NOT has_any_column_privilege(%(user)s, oid, 'SELECT, INSERT, UPDATE')"
)
BESIDE: dict[str, LiteralString] = {
    "0007 policies where row security is off": _UNREACHABLE,
    "0008 row security without a policy": _UNREACHABLE,
    "0011 a function without a search_path": "SELECT proname FROM pg_proc WHERE NOT prosecdef",
}
# What is asked of a role that does not exist has no answer.
EXISTING = [each for each in EVERY if "role-missing" not in {rule for rule, _ in each[2]}]


def found_by(lint: LiteralString, connection: BoundedConnection, user: str = str(Role.USER)) -> set[str]:
    """Return the names that a lint finds."""
    return {str(name) for (name,) in connection.execute(lint, {"user": user})}


def holes(connection: BoundedConnection, user: str = str(Role.USER)) -> Iterator[tuple[str, str]]:
    """Yield the name of each object that a lint of safety finds and that is neither answered nor out of reach."""
    for lint, query in SECURITY.items():
        beside = found_by(BESIDE[lint], connection, user) if lint in BESIDE else set()
        yield from ((lint, name) for name in found_by(query, connection, user) - beside - {*ANSWERED})


@pytest.mark.parametrize("lint", [*SECURITY.values(), *SPEED.values()], ids=[*SECURITY, *SPEED])
def test_it_finds_nothing_in_the_schema(lint: LiteralString, damage: BoundedConnection) -> None:
    """Whatever a lint says of the product's own schema, of safety or of speed, is answered with a reason."""
    assert found_by(lint, damage) <= {*ANSWERED}


@pytest.mark.parametrize(("user", "statements", "_"), EXISTING, ids=map(str, range(len(EXISTING))))
def test_the_check_finds_what_it_finds(user: str, statements: str, _: object, damage: BoundedConnection) -> None:
    """Each object that a lint of safety names is named by a finding of the check."""
    do(damage, statements)
    found = findings(damage, user)
    if not {each.rule for each in found} & OF_THE_ROLE:
        said = " ".join(map(str, found))
        assert [(lint, name) for lint, name in holes(damage, user) if name not in said] == []


@pytest.mark.parametrize("statements", [each for each in HARMLESS if not any(prefix in each for prefix in PREFIXES)])
def test_it_finds_nothing_in_what_is_sound(statements: str, damage: BoundedConnection) -> None:
    """What the check calls sound, no lint of safety calls a hole."""
    do(damage, statements)
    assert list(holes(damage)) == []
