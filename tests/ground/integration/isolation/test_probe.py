"""The attacks on a clone, held against damage that is done for real: also such as no catalogue tells of."""

import pytest

from infra.config.urls import DatabaseUrl
from schema.client.connection import connect
from tests.ground.integration.isolation.conftest import Attack, found
from tests.ground.integration.isolation.damaged_tables import PREDICATE, PROTECT, protected
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

SEEN = {("read", "users"), ("count", "users"), ("lock", "users"), ("copy-out", "users")}
TOUCHED = {("update", "users"), ("take", "users"), ("delete", "users")}
WRITTEN = {("insert", "users"), ("move", "users")}
OPENED = "ALTER POLICY {0} ON users USING ({1}) WITH CHECK ({1});"
BOTH = OPENED.format("tenant_permit", "true") + OPENED.format("tenant_restrict", "true")

LEAKS: dict[str, tuple[str, set[tuple[str, str]]]] = {
    "a predicate that is true": (BOTH, SEEN | TOUCHED | WRITTEN | {("upsert", "users.pk_users")}),
    "row level security switched off": (
        "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
        SEEN | TOUCHED | WRITTEN | {("copy-in", "users")},
    ),
    "an owner that is not bound": (
        "RESET ROLE; ALTER TABLE users NO FORCE ROW LEVEL SECURITY; ALTER TABLE users OWNER TO app_user",
        SEEN | TOUCHED | WRITTEN | {("copy-in", "users"), ("truncate", "users")},
    ),
    "a role that bypasses": (
        (
            f"ALTER POLICY tenant_permit ON users USING ({PREDICATE} OR pg_has_role('app_user', 'USAGE'));"
            f"ALTER POLICY tenant_restrict ON users USING ({PREDICATE} OR pg_has_role('app_user', 'USAGE'))"
        ),
        SEEN | {("take", "users"), ("delete", "users")},
    ),
    "rows that are checked by nothing": (
        "ALTER POLICY tenant_permit ON users WITH CHECK (true);ALTER POLICY tenant_restrict ON users WITH CHECK (true)",
        WRITTEN,
    ),
    "a key across tenants whose row is open": (
        (
            "ALTER POLICY tenant_permit ON users USING (true); ALTER POLICY tenant_restrict ON users USING (true);"
            "CREATE UNIQUE INDEX by_email ON users (lower(email)) WHERE role <> 'none'"
        ),
        {("upsert", "users.by_email")},
    ),
    "rows that are shown to whoever has some": (
        (
            f"ALTER POLICY tenant_permit ON tenant_features USING ({PREDICATE} OR EXISTS (SELECT FROM users));"
            f"ALTER POLICY tenant_restrict ON tenant_features USING ({PREDICATE} OR EXISTS (SELECT FROM users))"
        ),
        {("read", "tenant_features"), ("delete", "tenant_features")},
    ),
    "a command that the pair leaves out": (
        "DROP POLICY tenant_restrict ON users; CREATE POLICY loose ON users FOR DELETE USING (true)",
        {("delete", "users")},
    ),
    "a right to truncate": ("GRANT TRUNCATE ON tenant_features TO app_user", {("truncate", "tenant_features")}),
    "a plain foreign key": (
        "ALTER TABLE users ADD UNIQUE (id);"
        + protected(
            "notes",
            "tenant_id uuid NOT NULL, id int, user_id uuid, PRIMARY KEY (tenant_id, id),"
            " CONSTRAINT by_whom FOREIGN KEY (user_id) REFERENCES users (id)",
        ),
        {("reference", "notes.by_whom")},
    ),
    "a plain foreign key that must be there": (
        "ALTER TABLE users ADD UNIQUE (id);"
        + protected("notes", "tenant_id uuid NOT NULL, user_id uuid NOT NULL CONSTRAINT by_whom REFERENCES users (id)"),
        {("reference", "notes.by_whom")},
    ),
    # What the catalogue does not tell of:
    "a tenant where there is none": (
        """
        CREATE TABLE app.signed_up (tenant_id uuid);
        GRANT SELECT, INSERT ON app.signed_up TO app_user;
        CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN INSERT INTO app.signed_up VALUES (NEW.tenant_id); RETURN NEW; END';
        CREATE TRIGGER note AFTER INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION app.note();
        CREATE OR REPLACE FUNCTION app.tenant_id() RETURNS uuid LANGUAGE plpgsql STABLE AS $$ BEGIN
            RETURN coalesce(
                nullif(current_setting('app.tenant_id', true), '')::uuid, (SELECT tenant_id FROM app.signed_up LIMIT 1)
            );
        END $$
        """,
        {("read", table) for table in ("tenants", "users", "tenant_features")},
    ),
    "a trigger that goes further than its statement": (
        """
        RESET ROLE;
        CREATE FUNCTION app.sweep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public
            AS 'BEGIN DELETE FROM tenant_features; RETURN NULL; END';
        CREATE TRIGGER sweep AFTER DELETE ON users EXECUTE FUNCTION app.sweep()
        """,
        {("changed", "tenant_features")},
    ),
}


@pytest.mark.parametrize("what", LEAKS)
def test_a_leak_is_found(what: str, attack: Attack) -> None:
    """Whatever lets a tenant or nobody at another's rows, an attack gets through by it."""
    statements, expected = LEAKS[what]
    assert expected <= found(attack(statements))


SOUND = {
    "the schema as it is": "SELECT",
    "a widened policy, held by its restrictive twin": OPENED.format("tenant_permit", "true"),
    "a right that is missing": "REVOKE SELECT, UPDATE ON users FROM app_user",
    "foreign keys that keep to the tenant": protected(
        "notes",
        "tenant_id uuid NOT NULL, id int, user_id uuid NOT NULL, parent int NOT NULL, later uuid,"
        " PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, user_id) REFERENCES users ON DELETE CASCADE,"
        " FOREIGN KEY (tenant_id, parent) REFERENCES notes,"
        " FOREIGN KEY (tenant_id, later) REFERENCES users ON DELETE SET NULL (later) DEFERRABLE INITIALLY DEFERRED",
    ),
    "values that two tenants both have": "CREATE TYPE mood AS ENUM ('good', 'bad');"
    + protected("moods", "tenant_id uuid, mood mood, PRIMARY KEY (tenant_id, mood)")
    + protected(
        "days",
        "tenant_id uuid, day date, mood mood NOT NULL, PRIMARY KEY (tenant_id, day),"
        " FOREIGN KEY (tenant_id, mood) REFERENCES moods",
    ),
    "a table that comes before those that refer to it": protected(
        "accounts", "tenant_id uuid, id uuid DEFAULT gen_random_uuid(), PRIMARY KEY (tenant_id, id)"
    )
    + protected(
        "bills",
        "tenant_id uuid, id uuid DEFAULT gen_random_uuid(), account uuid NOT NULL, PRIMARY KEY (tenant_id, id),"
        " FOREIGN KEY (tenant_id, account) REFERENCES accounts",
    ),
    "tables that refer to each other": protected(
        "persons", "tenant_id uuid, id int, team int, PRIMARY KEY (tenant_id, id)"
    )
    + protected(
        "teams",
        "tenant_id uuid, id int, lead int, PRIMARY KEY (tenant_id, id),"
        " FOREIGN KEY (tenant_id, lead) REFERENCES persons",
    )
    + "ALTER TABLE persons NO FORCE ROW LEVEL SECURITY; ALTER TABLE teams NO FORCE ROW LEVEL SECURITY;"
    "ALTER TABLE persons ADD FOREIGN KEY (tenant_id, team) REFERENCES teams;"
    "ALTER TABLE persons FORCE ROW LEVEL SECURITY; ALTER TABLE teams FORCE ROW LEVEL SECURITY",
    "a key that is looked at when a transaction ends": protected(
        "places",
        "tenant_id uuid, id int, place int NOT NULL, PRIMARY KEY (tenant_id, id),"
        " UNIQUE (tenant_id, place) DEFERRABLE INITIALLY DEFERRED",
    ),
    "a trigger that refuses whatever is deleted": protected(
        "kept", "tenant_id uuid, id int, PRIMARY KEY (tenant_id, id)"
    )
    + "CREATE FUNCTION app.keep() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE 'kept' USING ERRCODE = 'object_not_in_prerequisite_state'; END $$;"
    "CREATE TRIGGER keep BEFORE DELETE ON kept EXECUTE FUNCTION app.keep()",
    "a list that all share": "CREATE TABLE currencies (code char(3) PRIMARY KEY CHECK (code ~ '^E.R$'));"
    "INSERT INTO currencies VALUES ('EUR');"
    + protected("prices", "tenant_id uuid PRIMARY KEY, currency char(3) NOT NULL REFERENCES currencies"),
    "partitions": protected(
        "logs", "tenant_id uuid, n int, PRIMARY KEY (tenant_id, n)", "PARTITION BY HASH (tenant_id)"
    )
    + "CREATE TABLE logs_0 PARTITION OF logs FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
    "CREATE TABLE logs_1 PARTITION OF logs FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "partitions of a year": protected(
        "events", "tenant_id uuid, id int, at timestamptz, PRIMARY KEY (tenant_id, id, at)", "PARTITION BY RANGE (at)"
    )
    + "CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "partitions by what is made of a key of the tenant's alone": protected(
        "days", "tenant_id uuid, at timestamptz, PRIMARY KEY (tenant_id, at)", "PARTITION BY RANGE (at)"
    )
    + "CREATE TABLE days_2026 PARTITION OF days FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')",
    "a partition for each tenant": protected(
        "mine", "tenant_id uuid, id int, PRIMARY KEY (tenant_id, id)", "PARTITION BY LIST (tenant_id)"
    )
    + "CREATE TABLE mine_a PARTITION OF mine FOR VALUES IN ('00000000-0000-0000-0000-00000000000a')",
    "partitions by an expression": protected(
        "hits", "tenant_id uuid NOT NULL, at timestamp NOT NULL", "PARTITION BY RANGE (date_trunc('month', at))"
    )
    + "CREATE TABLE hits_1 PARTITION OF hits FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')",
    "partitions by list, of partitions, protected themselves": protected(
        "parts", "tenant_id uuid, id int, kind text, PRIMARY KEY (tenant_id, id, kind)", "PARTITION BY LIST (kind)"
    )
    + "CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('apple', 'pear') PARTITION BY HASH (id);"
    "CREATE TABLE parts_a_0 PARTITION OF parts_a FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
    + PROTECT.format("parts_a_0"),
    "names that must be quoted": 'CREATE SCHEMA "Shop"; GRANT USAGE ON SCHEMA "Shop" TO app_user;'
    + protected('"Shop"."Order"', '"50%s" text NOT NULL, tenant_id uuid PRIMARY KEY, "on" text NOT NULL')
    + """CREATE UNIQUE INDEX ON "Shop"."Order" (tenant_id, ("50%s" || "on")) WHERE "on" NOT LIKE '%x'""",
}


@pytest.mark.parametrize("what", SOUND)
def test_what_is_sound_holds(what: str, attack: Attack) -> None:
    """No attack gets through what keeps tenants apart."""
    probed = attack(SOUND[what])
    assert found(probed) == set()
    assert probed.attacks >= 86


def test_the_probe_leaves_the_protection_as_it_was(clone: DatabaseUrl, stack: RunningStack, attack: Attack) -> None:
    """FORCE, which is lifted to make rows and to look at them, is back afterwards, and where it was not it is not."""
    attack("ALTER TABLE users NO FORCE ROW LEVEL SECURITY")
    with connect(clone, stack.settings) as connection:
        forced = connection.execute(
            "SELECT relname FROM pg_class WHERE relforcerowsecurity AND relkind = 'r' ORDER BY 1"
        ).fetchall()
    assert forced == [("tenant_features",), ("tenants",)]
