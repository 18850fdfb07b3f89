"""Schemas of tenants' tables as a product may have them, with rows of two tenants, drawn for a property."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from hypothesis import strategies as st
from psycopg.sql import SQL, Identifier, Literal

from infra.config.sql_text import quote
from schema.client.connection import BoundedConnection
from schema.tenancy.policies import Part, Policy, Trigger, create_all, isolation, restrictive_policy, trigger

# Names that need quoting, and one that is a word of SQL.
NAMES = ["invoices", "Line Items", 'a "quoted" name', "größe", "select"]
ACTIONS = ["", "ON DELETE CASCADE", "ON DELETE RESTRICT", "ON DELETE SET NULL (parent)"]
KINDS = ["plain", "plain", "range", "hash", "inherited"]
POLICIES: dict[str, tuple[Policy, ...]] = {
    "": (),
    "narrowed": (restrictive_policy("open", "NOT locked", check="true"),),
    "of a person": (restrictive_policy("own", "value = (SELECT current_setting('app.user_id', true))"),),
}
TRIGGERS: dict[str, tuple[Trigger, ...]] = {
    "": (),
    "audited": (trigger("audit", "AFTER INSERT OR UPDATE OR DELETE", "app.audit()"),),
    "stamped": (trigger("stamp", "BEFORE INSERT", "app.stamp()"),),
}
FUNCTIONS = """
    CREATE OR REPLACE FUNCTION app.audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO audit_log (tenant_id, entry) VALUES (coalesce(NEW.tenant_id, OLD.tenant_id), TG_OP); RETURN NULL;
    END $$;
    CREATE OR REPLACE FUNCTION app.stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        NEW.value := NEW.value || '!'; RETURN NEW;
    END $$
"""
AUDIT = "CREATE TABLE audit_log (tenant_id uuid REFERENCES tenants, id int GENERATED ALWAYS AS IDENTITY, entry text)"
# What the server stores and no file may change: quotes, line ends, what a terminal or psql acts on.
VALUES = st.one_of(
    st.none(),
    st.sampled_from(["'", "\\", "\\.", "a\r\nb", ":x", "$$", "\x1b[31m", "%s", "{}", "', ('", "\\q"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
)


@dataclass(frozen=True, slots=True)
class Table:
    """One table: what it is called, how it is stored, what guards it, and which tables its rows refer to."""

    name: str
    kind: str
    policies: str
    triggers: str
    parent: int
    action: str
    deferrable: bool
    values: tuple[str | None, ...]


@st.composite
def schemas(draw: st.DrawFn) -> tuple[Table, ...]:
    """Draw tables that refer to one another, themselves and in circles, each with some rows of a tenant."""
    count = draw(st.integers(1, len(NAMES)))
    return tuple(
        Table(
            name,
            draw(st.sampled_from(KINDS)),
            draw(st.sampled_from(sorted(POLICIES))),
            draw(st.sampled_from(sorted(TRIGGERS))),
            draw(st.integers(0, count - 1)),
            draw(st.sampled_from(ACTIONS)),
            draw(st.booleans()),
            tuple(draw(st.lists(VALUES, max_size=4))),
        )
        for name in draw(st.permutations(NAMES))[:count]
    )


def create(connection: BoundedConnection, tables: tuple[Table, ...]) -> None:
    """Make the tables as migrations make them, the foreign keys last."""
    for table in tables:
        columns = (
            "tenant_id uuid NOT NULL REFERENCES tenants, id int GENERATED ALWAYS AS IDENTITY, value text, parent int, "
            "locked bool NOT NULL DEFAULT false, updated_at timestamptz, "
            "length int GENERATED ALWAYS AS (length(value)) STORED, "
            "PRIMARY KEY (tenant_id, id)"
        )
        if table.kind == "inherited":
            _run(connection, f"CREATE TABLE {quote(table.name + ' base')} (tenant_id uuid NOT NULL, value text)")
        _run(connection, f"CREATE TABLE {quote(table.name)} ({columns}) {_storage(table)}")
        for number, bounds in enumerate(_bounds(table)):
            part = quote(f"{table.name} {number}")
            _run(connection, f"CREATE TABLE {part} PARTITION OF {quote(table.name)} {bounds}")
    for table in tables:
        deferred = "DEFERRABLE INITIALLY DEFERRED" if table.deferrable and "RESTRICT" not in table.action else ""
        _run(
            connection,
            f"ALTER TABLE {quote(table.name)} ADD FOREIGN KEY (tenant_id, parent)"
            f" REFERENCES {quote(tables[table.parent].name)} {table.action} {deferred}",
        )
    for table in tables:
        _protect(connection, table)


def _storage(table: Table) -> str:
    return {
        "range": "PARTITION BY RANGE (id)",
        "hash": "PARTITION BY HASH (tenant_id)",
        "inherited": f"INHERITS ({quote(table.name + ' base')})",
    }.get(table.kind, "")


def _bounds(table: Table) -> list[str]:
    return {
        "range": ["FOR VALUES FROM (MINVALUE) TO (3)", "DEFAULT"],
        "hash": [f"FOR VALUES WITH (MODULUS 2, REMAINDER {rest})" for rest in range(2)],
    }.get(table.kind, [])


def _protect(connection: BoundedConnection, table: Table) -> None:
    if table.kind == "inherited":  # it has neither the columns of a policy nor those of a trigger
        base = [part for part in isolation() if not isinstance(part, Trigger)]
        for statement in create_all(base, table.name + " base"):
            _run(connection, statement)
    parts: list[Part] = [*isolation(), *POLICIES[table.policies], *TRIGGERS[table.triggers]]
    for statement in create_all(parts, table.name):
        _run(connection, statement)


def fill(connection: BoundedConnection, tables: tuple[Table, ...], tenant: UUID) -> None:
    """Give a tenant its rows; every other one is locked, and each refers to the last row of the parent's table."""
    with connection.transaction():
        connection.execute(SQL("SET LOCAL app.tenant_id = {}").format(Literal(str(tenant))))
        connection.execute(
            "INSERT INTO tenants (tenant_id, name, slug) VALUES (%s, E'\\x1b', %s)", [tenant, uuid4().hex]
        )
        for table in tables:
            for number, value in enumerate(table.values):
                connection.execute(
                    SQL("INSERT INTO {} (tenant_id, value, locked) VALUES (%s, %s, %s)").format(Identifier(table.name)),
                    [tenant, value, number % 2 == 1],
                )
        for table in tables:
            connection.execute(
                SQL("UPDATE {} SET parent = (SELECT max(id) FROM {} WHERE tenant_id = %s) WHERE tenant_id = %s").format(
                    Identifier(table.name), Identifier(tables[table.parent].name)
                ),
                [tenant, tenant],
            )


def drop(connection: BoundedConnection, tables: tuple[Table, ...]) -> None:
    """Remove the tables again."""
    for table in tables:
        _run(connection, f"DROP TABLE IF EXISTS {quote(table.name)}, {quote(table.name + ' base')} CASCADE")


def _run(connection: BoundedConnection, statement: str) -> None:
    connection.execute(statement.encode())
