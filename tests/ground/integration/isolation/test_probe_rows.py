"""Rows to attack, made up from the catalogue: of every type, through every CHECK, pointing at each other."""

from itertools import count

import pytest

from schema.isolation.probe import values
from tests.ground.integration.isolation.conftest import Attack, found
from tests.ground.integration.isolation.damaged_tables import protected

pytestmark = pytest.mark.one_backend

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


# Types over domains, each with the columns of a table that are NOT NULL.
NESTED: dict[str, tuple[str, str]] = {
    "domains on domains": (
        (
            "CREATE DOMAIN whole AS numeric(3) CHECK (VALUE > 500); CREATE DOMAIN other AS whole CHECK (VALUE <> 501);"
            "CREATE DOMAIN rated AS other CHECK (VALUE < 700);"
            "CREATE DOMAIN short AS varchar(2) CHECK (VALUE ~ '^[A-Z]+$'); CREATE DOMAIN land AS short NOT NULL"
        ),
        "rate rated NOT NULL, land land, lands short NOT NULL",
    ),
    "a domain on a domain on an enum, a range or an array": (
        (
            "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN felt AS mood CHECK (VALUE <> 'good');"
            "CREATE DOMAIN feeling AS felt; CREATE DOMAIN period AS daterange CHECK (NOT isempty(VALUE));"
            "CREATE DOMAIN stay AS period NOT NULL; CREATE DOMAIN tags AS text[] CHECK (cardinality(VALUE) >= 2);"
            "CREATE DOMAIN labels AS tags"
        ),
        "feeling feeling NOT NULL, stay stay, labels labels NOT NULL",
    ),
    "an array of a domain on a domain": (
        (
            "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN felt AS mood CHECK (VALUE <> 'good');"
            "CREATE DOMAIN code AS text CHECK (VALUE ~ '^[A-Z]+$'); CREATE DOMAIN iso AS code CHECK (length(VALUE) = 3)"
        ),
        (
            "codes iso[] NOT NULL CHECK (cardinality(codes) > 0), moods felt[] NOT NULL CHECK (moods <> '{}'),"
            " quoted text[] NOT NULL CHECK (quoted[1] = 'say \"\\\"')"
        ),
    ),
}


@pytest.mark.parametrize("what", NESTED)
def test_rows_are_made_of_what_is_below_a_domain(what: str, attack: Attack) -> None:
    """The kind: a type that is reached, or whose CHECK is asked, through another type, down any number of domains."""
    types, columns = NESTED[what]
    assert attack(types + ";" + protected("nested", f"tenant_id uuid NOT NULL, {columns}")).findings == ()


@pytest.mark.parametrize("number", [1, 70, 980])
def test_rows_are_made_up_from_the_catalogue(number: int, attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built-in types, domains and CHECKs that name what they want need no factory, whatever number comes first."""
    monkeypatch.setattr(values, "_counter", count(number))
    assert attack(DEMANDING + protected("demanding", COLUMNS)).findings == ()


# Two tables whose rows need each other, NOT NULL both ways.
CIRCLE = (
    "CREATE TYPE pair AS (a int, b int);"
    + protected("heads", "tenant_id uuid, id int, b int NOT NULL, PRIMARY KEY (tenant_id, id)")
    + protected(
        "tails",
        "tenant_id uuid, id int, h int NOT NULL, PRIMARY KEY (tenant_id, id),"
        " FOREIGN KEY (tenant_id, h) REFERENCES heads {0}",
    )
    + "ALTER TABLE heads NO FORCE ROW LEVEL SECURITY; ALTER TABLE tails NO FORCE ROW LEVEL SECURITY;"
    "ALTER TABLE heads ADD FOREIGN KEY (tenant_id, b) REFERENCES tails {1};"
    "ALTER TABLE heads FORCE ROW LEVEL SECURITY; ALTER TABLE tails FORCE ROW LEVEL SECURITY;"
)
# What a row must point at before its number, or the other's, is known.
POINTING: dict[str, str] = {
    "each other": CIRCLE.format("", ""),
    "each other, when the transaction ends": CIRCLE.format(
        "DEFERRABLE INITIALLY DEFERRED", "DEFERRABLE INITIALLY DEFERRED"
    ),
    "each other, by numbers that are always the server's": CIRCLE.format("", "").replace(
        "id int,", "id int GENERATED ALWAYS AS IDENTITY,"
    ),
    "a number that is always the server's": protected(
        "odd", "tenant_id uuid, id int GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (tenant_id, id)"
    )
    + protected("even", "tenant_id uuid NOT NULL, odd int NOT NULL, FOREIGN KEY (tenant_id, odd) REFERENCES odd")
    + protected("later", "tenant_id uuid NOT NULL, odd int, FOREIGN KEY (tenant_id, odd) REFERENCES odd"),
    "what is generated": protected(
        "odd",
        "tenant_id uuid, id int, twice int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (tenant_id, id),"
        " UNIQUE (tenant_id, twice)",
    )
    + protected(
        "even",
        "tenant_id uuid NOT NULL, odd int NOT NULL, other int,"
        " FOREIGN KEY (tenant_id, odd) REFERENCES odd (tenant_id, twice),"
        " FOREIGN KEY (tenant_id, other) REFERENCES odd (tenant_id, twice)",
    ),
    "by what is generated": protected("odd", "tenant_id uuid, id int, PRIMARY KEY (tenant_id, id)")
    + protected(
        "even",
        "tenant_id uuid NOT NULL, n int, odd int GENERATED ALWAYS AS (n) STORED,"
        " FOREIGN KEY (tenant_id, odd) REFERENCES odd",
    ),
    "itself": protected(
        "trees",
        "tenant_id uuid, id uuid DEFAULT gen_random_uuid(), parent uuid NOT NULL, PRIMARY KEY (tenant_id, id),"
        " FOREIGN KEY (tenant_id, parent) REFERENCES trees",
    ),
    "itself, by a number that is always the server's": protected(
        "trees",
        "tenant_id uuid, id bigint GENERATED ALWAYS AS IDENTITY, parent bigint NOT NULL, PRIMARY KEY (tenant_id, id),"
        " FOREIGN KEY (tenant_id, parent) REFERENCES trees",
    ),
    "itself, by an enum, a domain and a CHECK": "CREATE TYPE mood AS ENUM ('good', 'bad');"
    "CREATE DOMAIN code AS text CHECK (VALUE ~ '^[A-Z]+$');"
    + protected(
        "trees",
        "tenant_id uuid, mood mood DEFAULT 'bad', code code NOT NULL, of mood NOT NULL, by code NOT NULL,"
        " n int NOT NULL CHECK (n > 5000), PRIMARY KEY (tenant_id, mood, code),"
        " FOREIGN KEY (tenant_id, of, by) REFERENCES trees",
    ),
    "a circle of three through one key": protected("a", "tenant_id uuid, id int, PRIMARY KEY (tenant_id, id)")
    + protected("b", "tenant_id uuid, id int, PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, id) REFERENCES a")
    + protected("c", "tenant_id uuid, id int, PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, id) REFERENCES b")
    + "ALTER TABLE a NO FORCE ROW LEVEL SECURITY; ALTER TABLE c NO FORCE ROW LEVEL SECURITY;"
    "ALTER TABLE a ADD FOREIGN KEY (tenant_id, id) REFERENCES c;"
    "ALTER TABLE a FORCE ROW LEVEL SECURITY; ALTER TABLE c FORCE ROW LEVEL SECURITY",
    "nothing that another row holds": protected(
        "bookings",
        "tenant_id uuid NOT NULL, room int NOT NULL, during tstzrange NOT NULL CHECK (NOT isempty(during)),"
        " EXCLUDE USING btree (tenant_id WITH =, room WITH =)",
    ),
}


@pytest.mark.parametrize("what", POINTING)
def test_rows_are_made_that_point(what: str, attack: Attack) -> None:
    """The kind: a key whose value is known only when a row is there, on either side, required or not."""
    assert attack(POINTING[what]).findings == ()


def test_an_open_circle_is_found(attack: Attack) -> None:
    """Rows that need each other are attacked as any others."""
    opened = attack(CIRCLE.format("", "") + "ALTER TABLE tails DISABLE ROW LEVEL SECURITY")
    assert {("read", "tails"), ("delete", "tails"), ("insert", "tails")} <= found(opened)
