"""The attacks on a clone, held against damage that is done for real: also such as no catalogue tells of."""

from collections.abc import Callable, Mapping
from itertools import count

import pytest

from infra.settings import Role
from infra.urls import DatabaseUrl
from schema.connect import connect
from schema.isolation.probe import Probed, probe, values
from schema.isolation.probe.factories import Factory, load_factories
from tests.fixtures.stack import RunningStack
from tests.integration.isolation.damages import PREDICATE, protected

pytestmark = pytest.mark.one_backend

Attack = Callable[..., Probed]


@pytest.fixture
def attack(clone: DatabaseUrl, stack: RunningStack) -> Attack:
    """Do damage to a clone, as the owner or after RESET ROLE as a superuser, and attack it."""

    def attack(statements: str, factories: Mapping[str, Factory] | None = None) -> Probed:
        admin = stack.admin.on(clone.database)
        with connect(admin, stack.settings, autocommit=True) as connection:
            connection.execute(b"SET ROLE app_owner;" + statements.encode())
            seeing = admin if "OWNER TO app_user" in statements else clone
        user = stack.url(Role.USER).on(clone.database)
        return probe(seeing, user, stack.settings, factories or {}, lambda _: None)

    return attack


def found(probed: Probed) -> set[tuple[str, str]]:
    """Return each finding's attack and object."""
    return {(finding.rule.removeprefix("probe-"), finding.object) for finding in probed.findings}


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
        {("read", "tenant_features")},
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
    "names that must be quoted": 'CREATE SCHEMA "Shop"; GRANT USAGE ON SCHEMA "Shop" TO app_user;'
    + protected('"Shop"."Order"', '"50%s" text NOT NULL, tenant_id uuid PRIMARY KEY, "on" text NOT NULL')
    + """CREATE UNIQUE INDEX ON "Shop"."Order" (tenant_id, ("50%s" || "on")) WHERE "on" NOT LIKE '%x'""",
}


@pytest.mark.parametrize("what", SOUND)
def test_what_is_sound_holds(what: str, attack: Attack) -> None:
    """No attack gets through what keeps tenants apart."""
    probed = attack(SOUND[what])
    assert found(probed) == set()
    assert probed.attacks >= 80


# Types and CHECKs of which a row is made up from the catalogue alone.
DEMANDING = """
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE DOMAIN percent AS numeric(5, 2) CHECK (VALUE BETWEEN 10 AND 100);
    CREATE DOMAIN address AS text CHECK (VALUE ~ '^[^@]+@[^@]+$');
"""
COLUMNS = """
    tenant_id uuid NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (n * 2) STORED,
    n int NOT NULL CHECK (n > 5000 AND n < 5002), code char(2) NOT NULL, vat varchar(3) NOT NULL,
    country text NOT NULL CHECK (char_length(country) = 2), kind text NOT NULL CHECK (kind IN ('it''s', 'other')),
    rate percent NOT NULL, mail address NOT NULL, feeling mood NOT NULL CHECK (feeling <> 'good'),
    booked tstzrange NOT NULL CHECK (upper(booked) > lower(booked)), ever daterange NOT NULL CHECK (upper_inf(ever)),
    open int4multirange NOT NULL CHECK (NOT isempty(open)),
    tags text[] NOT NULL, moods mood[] NOT NULL,
    at timestamptz NOT NULL, day date NOT NULL, during tstzrange NOT NULL, often int4multirange NOT NULL,
    clock time NOT NULL, span interval NOT NULL, ok bool NOT NULL CHECK (ok), data jsonb NOT NULL,
    CHECK (jsonb_typeof(data) = 'object'), raw bytea NOT NULL UNIQUE, host inet NOT NULL, net cidr NOT NULL,
    mac macaddr NOT NULL, ratio float8 NOT NULL, small smallint NOT NULL, price numeric(4, 2) NOT NULL,
    flags bit(4) NOT NULL, place point NOT NULL, words tsvector NOT NULL,
    first date NOT NULL CHECK (first <= '1999-12-31'), either text, other text, CHECK (num_nonnulls(either, other) = 1),
    PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, n)
"""


@pytest.mark.parametrize("number", [1, 70, 980])
def test_rows_are_made_up_from_the_catalogue(number: int, attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built-in types, domains and CHECKs that name what they want need no factory, whatever number comes first."""
    monkeypatch.setattr(values, "_counter", count(number))
    assert attack(DEMANDING + protected("demanding", COLUMNS)).findings == ()


INVOICES = protected(
    "invoices",
    "tenant_id uuid NOT NULL, number text NOT NULL CHECK (number ~ '^INV-[0-9]{4}$'), note text,"
    " PRIMARY KEY (tenant_id, number)",
)


def test_a_row_that_cannot_be_made_up_asks_for_a_factory(attack: Attack) -> None:
    """Where no value satisfies a CHECK, the table is a finding; nothing is said to be proven that was not tried."""
    (finding,) = attack(INVOICES).findings
    assert (finding.rule, finding.object) == ("probe-row", "invoices")
    assert "ck" in finding.wrong or "check" in finding.wrong
    assert "tool.groundwork.isolation.factories" in finding.fix


def test_a_factory_gives_the_rows(attack: Attack) -> None:
    """With its factory the table is attacked as any other, and a leak in it is found."""
    factories = load_factories({"invoices": f"{__package__}.factories:invoice"})
    plain = attack(INVOICES, factories)
    assert found(plain) == set()
    assert plain.attacks > 100


def test_a_factory_opens_a_table_to_attack(attack: Attack) -> None:
    """The rows of a factory are what a leak shows."""
    factories = load_factories({"invoices": f"{__package__}.factories:invoice"})
    leaking = attack(INVOICES + "ALTER TABLE invoices DISABLE ROW LEVEL SECURITY", factories)
    assert {("read", "invoices"), ("move", "invoices")} <= found(leaking)


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        ("CREATE TYPE pair AS (a int, b int);" + protected("odd", "tenant_id uuid NOT NULL, p pair NOT NULL"), "pair"),
        (
            "CREATE TABLE odd (tenant_id uuid, n int, PRIMARY KEY (tenant_id, n));"
            + protected(
                "even", "tenant_id uuid, n int, PRIMARY KEY (tenant_id, n), FOREIGN KEY (tenant_id, n) REFERENCES odd"
            )
            + "ALTER TABLE odd ADD FOREIGN KEY (tenant_id, n) REFERENCES even NOT VALID",
            "there is no row",
        ),
        (protected("odd", "tenant_id uuid NOT NULL, ok bool NOT NULL UNIQUE"), "duplicate key"),
    ],
    ids=["a type of one's own", "a circle", "too few values"],
)
def test_what_no_row_can_be_made_for_says_why(statements: str, reason: str, attack: Attack) -> None:
    """The finding gives the reason, so that the factory can be written."""
    rows = [finding for finding in attack(statements).findings if finding.rule == "probe-row"]
    assert rows
    assert any(reason in finding.wrong for finding in rows)


def test_a_wrong_factory_is_named(attack: Attack) -> None:
    """What the server says of a factory's row is the finding."""
    (finding,) = attack("SELECT", load_factories({"users": f"{__package__}.factories:nonsense"})).findings
    assert finding.rule == "probe-row"
    assert "colour" in finding.wrong


def test_the_probe_leaves_the_protection_as_it_was(clone: DatabaseUrl, stack: RunningStack, attack: Attack) -> None:
    """FORCE, which is lifted to make rows and to look at them, is back afterwards, and where it was not it is not."""
    attack("ALTER TABLE users NO FORCE ROW LEVEL SECURITY")
    with connect(clone, stack.settings) as connection:
        forced = connection.execute(
            "SELECT relname FROM pg_class WHERE relforcerowsecurity AND relkind = 'r' ORDER BY 1"
        ).fetchall()
    assert forced == [("tenant_features",), ("tenants",)]
