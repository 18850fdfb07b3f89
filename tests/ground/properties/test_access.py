"""Whatever roles, grants and policies there are: the access matrix says what the server says, and what it then does."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.sql import SQL, Identifier

from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.isolation.access.matrix import Access, AppliedPolicy
from schema.isolation.access.reading import read_matrix
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(QUICK, max_examples=400)

ROLES, GROUPS = ("r0", "r1"), ("g0", "g1")
ALL_GROUPS = (*GROUPS, "pg_read_all_data", "pg_write_all_data")
TABLES = ("s.t0", "s.t1")
COMMANDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
NUMBERS = range(6)
GRANTEES = (*ROLES, *GROUPS, "PUBLIC")

grants = st.tuples(
    st.sampled_from(["GRANT", "GRANT", "REVOKE"]),
    st.sampled_from([*COMMANDS, "SELECT (n)", "UPDATE (n)", "INSERT (n, m)"]),
    st.sampled_from(TABLES),
    st.sampled_from([*GRANTEES, "owner"]),
)
memberships = st.one_of(
    st.tuples(st.sampled_from(ALL_GROUPS), st.sampled_from(ROLES), st.booleans(), st.booleans()),
    st.tuples(st.sampled_from(ALL_GROUPS[1:]), st.just("g0"), st.booleans(), st.booleans()),
)
policies = st.tuples(
    st.sampled_from(TABLES),
    st.sampled_from(["PERMISSIVE", "PERMISSIVE", "RESTRICTIVE"]),
    st.sampled_from(["ALL", "SELECT", "INSERT", "UPDATE", "DELETE"]),
    st.sampled_from(GRANTEES),
    st.sampled_from([2, 3]),
    st.booleans(),
)


@dataclass(frozen=True, slots=True)
class World:
    """Roles and two tables, each a list of what is done to them."""

    grants: list[tuple[str, str, str, str]]
    memberships: list[tuple[str, str, bool, bool]]
    policies: list[tuple[str, str, str, str, int, bool]]
    usage: list[str]
    attributes: tuple[str, str]
    owners: tuple[str, str]
    flags: tuple[tuple[bool, bool], tuple[bool, bool]]

    def statements(self) -> Iterator[str]:
        """Yield what makes it, in a database with none of it."""
        yield "CREATE ROLE r0 LOGIN; CREATE ROLE r1 LOGIN; CREATE ROLE g0; CREATE ROLE g1; CREATE SCHEMA s"
        yield f"ALTER ROLE g1 {self.attributes[0]}; ALTER ROLE r1 {self.attributes[1]}"
        for table, owner, (enabled, forced) in zip(TABLES, self.owners, self.flags, strict=True):
            yield f"CREATE TABLE {table} (n int, m int); INSERT INTO {table} SELECT n, n FROM generate_series(0, 5) n"
            yield f"ALTER TABLE {table} OWNER TO {owner}" if owner else "SELECT"
            yield f"ALTER TABLE {table} {'ENABLE' if enabled else 'DISABLE'} ROW LEVEL SECURITY"
            yield f"ALTER TABLE {table} {'FORCE' if forced else 'NO FORCE'} ROW LEVEL SECURITY"
        for group, member, inherit, can_set in self.memberships:
            yield f"GRANT {group} TO {member} WITH INHERIT {inherit}, SET {can_set}"
        for verb, right, table, grantee in self.grants:
            named = (self.owners[TABLES.index(table)] or "CURRENT_USER") if grantee == "owner" else grantee
            yield f"{verb} {right} ON {table} {'TO' if verb == 'GRANT' else 'FROM'} {named}"
        for number, (table, kind, command, role, modulus, checked) in enumerate(self.policies):
            using = "" if command == "INSERT" else f"USING (n % {modulus} = 0)"
            writes = command == "INSERT" or (checked and command in {"ALL", "UPDATE"})
            check = f"WITH CHECK (n % {5 - modulus} = 0)" if writes else ""
            yield f"CREATE POLICY p{number} ON {table} AS {kind} FOR {command} TO {role} {using} {check}"
        for grantee in self.usage:
            yield f"GRANT USAGE ON SCHEMA s TO {grantee}"


worlds = st.builds(
    World,
    grants=st.lists(grants, max_size=12),
    memberships=st.lists(memberships, max_size=4),
    policies=st.lists(policies, max_size=4),
    usage=st.lists(st.sampled_from(GRANTEES), min_size=1, max_size=3, unique=True),
    attributes=st.tuples(st.sampled_from(["NOLOGIN", "NOLOGIN", "BYPASSRLS", "SUPERUSER"]),
                         st.sampled_from(["LOGIN", "LOGIN", "BYPASSRLS", "NOINHERIT"])),
    owners=st.tuples(st.sampled_from(["", "g0", "r0"]), st.sampled_from(["", "g1"])),
    flags=st.tuples(st.tuples(st.booleans(), st.booleans()), st.tuples(st.just(value=True), st.booleans())),
)  # fmt: skip


# Policies with USING alone, for ALL and for UPDATE, beside some that have a WITH CHECK of their own: what is written is
# held to USING only where there is nothing else, policy by policy.
WITHOUT_CHECK = World(
    grants=[("GRANT", command, table, "r0") for command in COMMANDS[:4] for table in TABLES],
    memberships=[],
    policies=[
        (TABLES[0], "PERMISSIVE", "ALL", "r0", 2, False),
        (TABLES[0], "RESTRICTIVE", "UPDATE", "r0", 2, True),
        (TABLES[1], "PERMISSIVE", "UPDATE", "r0", 3, False),
        (TABLES[1], "PERMISSIVE", "ALL", "r0", 3, True),
        (TABLES[1], "RESTRICTIVE", "ALL", "r0", 2, False),
    ],
    usage=["r0"],
    attributes=("NOLOGIN", "LOGIN"),
    owners=("", ""),
    flags=((True, False), (True, False)),
)


@pytest.fixture
def superuser(scratch_database: DatabaseUrl, stack: RunningStack) -> Iterator[BoundedConnection]:
    """Give a superuser's connection to an empty database to which every role may connect."""
    with connect(stack.admin.on(scratch_database.database), stack.settings, autocommit=True) as connection:
        connection.execute(SQL("GRANT CONNECT ON DATABASE {} TO PUBLIC").format(Identifier(scratch_database.database)))
        connection.prepare_threshold = None  # each example has other tables of the same names
        yield connection


def answer(connection: BoundedConnection, query: str, *values: Any) -> Any:
    """Return the one value that a query yields."""
    return (connection.execute(query.encode(), values).fetchone() or (None,))[0]


def satisfies(policy: AppliedPolicy, number: int, *, writing: bool) -> bool:
    """Return whether a row passes an expression of the form n % k = 0, as PostgreSQL writes it."""
    modulus = re.search(r"n % (\d)", policy.check if writing else policy.using)
    assert modulus, policy
    return number % int(modulus[1]) == 0


def allowed(entry: Access, number: int, *, writing: bool) -> bool:
    """Return whether the matrix says that a row may be touched, or written."""
    if entry.rows != "policies":
        return True
    passing = {p: satisfies(p, number, writing=writing) for p in entry.policies}
    return any(ok for p, ok in passing.items() if p.permissive) and all(
        ok for p, ok in passing.items() if not p.permissive
    )


def touched(connection: BoundedConnection, actor: str, statement: str) -> int | None:
    """Return how many rows a statement of an actor shows or touches, None where it is refused; nothing stays."""
    found: int | None = None
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(SQL("SET LOCAL ROLE {}").format(Identifier(actor)))
            found = connection.execute(statement.encode()).rowcount
    except psycopg.errors.InsufficientPrivilege:
        return None
    return found


def agrees(connection: BoundedConnection, world: World) -> None:
    """Make a world, hold its matrix against the server, and take the world back."""
    with connection.transaction(force_rollback=True):
        for statement in world.statements():
            connection.execute(statement.encode())
        matrix = read_matrix(connection).access
        assert read_matrix(connection).access == matrix
        assert list(matrix) == sorted(matrix)
        for role in ROLES:
            may_become = (
                group for group in GROUPS if answer(connection, "SELECT pg_has_role(%s, %s, 'SET')", role, group)
            )
            for actor in (role, *may_become):
                for table in TABLES:
                    entries = {e.command: e for e in matrix if (e.role, e.object) == (role, table)
                               and (e.as_role or role) == actor}  # fmt: skip
                    own = {e.command: e for e in matrix if (e.role, e.object, e.as_role) == (role, table, "")}
                    _agrees_on_rights(connection, actor, table, entries, own if actor != role else {})
                    _agrees_on_rows(connection, actor, table, entries)


def _agrees_on_rights(
    connection: BoundedConnection, actor: str, table: str, entries: dict[str, Access], own: dict[str, Access]
) -> None:
    usable = answer(connection, "SELECT has_schema_privilege(%s, 's', 'USAGE')", actor)
    for command in COMMANDS:
        whole = usable and answer(connection, "SELECT has_table_privilege(%s, %s, %s)", actor, table, command)
        columns = {
            column
            for column in ("n", "m")
            if command in {"SELECT", "INSERT", "UPDATE", "REFERENCES"} and usable
            and answer(connection, "SELECT has_column_privilege(%s, %s, %s, %s)", actor, table, column, command)
        }  # fmt: skip
        said = entries.get(command)
        if said is None and command in own:
            continue  # what can be done without becoming another is said once
        assert (said is not None) == bool(whole or columns), (actor, table, command)
        if said is not None:
            assert (said.columns == ()) == whole
            assert whole or {*said.columns} == columns


def _agrees_on_rows(connection: BoundedConnection, actor: str, table: str, entries: dict[str, Access]) -> None:
    # Without a WHERE the policies of that command alone apply (PostgreSQL manual, CREATE POLICY).
    statements = {"SELECT": f"SELECT 1 FROM {table}", "DELETE": f"DELETE FROM {table}"}
    for command, statement in statements.items():
        entry = entries.get(command)
        if entry is not None and not entry.columns:
            expected = sum(allowed(entry, number, writing=False) for number in NUMBERS)
            assert touched(connection, actor, statement) == expected, (actor, entry)
    entry = entries.get("INSERT")
    if entry is not None and not entry.columns:
        for number in NUMBERS:
            done = touched(connection, actor, f"INSERT INTO {table} VALUES ({number}, 0)")
            assert (done == 1) == allowed(entry, number, writing=True), (actor, number, entry)
    entry = entries.get("UPDATE")
    if entry is not None and not entry.columns:
        found = sum(allowed(entry, number, writing=False) for number in NUMBERS)
        for number in NUMBERS:
            done = touched(connection, actor, f"UPDATE {table} SET n = {number}")
            taken = not found or allowed(entry, number, writing=True)
            assert done == (found if taken else None), (actor, number, entry)


def test_the_matrix_agrees_with_the_server(superuser: BoundedConnection) -> None:
    """Rights are those of has_table_privilege and its like; as many rows are touched as the policies let through."""
    QUICK(given(worlds)(example(WITHOUT_CHECK)(lambda world: agrees(superuser, world))))()


@pytest.mark.slow
def test_many_matrices_agree_with_the_server(superuser: BoundedConnection) -> None:
    """The same over many more worlds."""
    LONG(given(worlds)(lambda world: agrees(superuser, world)))()
