"""Whatever a column's type becomes: where no loss is named, the rows come back as they were, and else one does not.

Every pair of types is a change that somebody may write; what comes of each value is the server's to say.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from schema.migration.apply.data_loss import find_loss
from schema.migration.apply.destructive_sql import losses
from schema.migration.apply.guard import driver_of
from schema.migration.diff.widening import holds_every_value
from tests.kit.cases import Cases

pytestmark = pytest.mark.one_backend

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(QUICK, max_examples=2_000)

NUMBERS = ["0", "1", "-1", "1.5", "0.1", "100.25", "1.0049", "12345.678", "16777217", "9007199254740993", "NaN"]
STAMPS = ["2026-03-01 00:00", "2026-03-01 10:20:30.5", "1999-12-31 23:59:59.999999+02", "infinity"]
WORDS = ["", "a", "abc", "abcde", "a  ", "Ä", "007", "1.50", "true", "[1]", "2026-03-01", "{}"]
JSONS = ['{"a":1,"a":2}', '{"b": 1, "a": [1.0, 2]}', "null", "1.50", '"x"', "[]"]
SPANS = ["1 day 01:00", "1 mon", "90 seconds", "-3 days", "00:00:00.000001"]
VALUES = {
    "smallint": NUMBERS,
    "integer": NUMBERS,
    "bigint": NUMBERS,
    "numeric": NUMBERS,
    "numeric(9,2)": NUMBERS,
    "numeric(9,4)": NUMBERS,
    "real": NUMBERS,
    "double precision": NUMBERS,
    "numeric[]": ["{1.5,0.1}", "{}", "{NULL,1.0049}"],
    "numeric(9,2)[]": ["{1.5,0.1}", "{}", "{NULL,1.0}"],
    "boolean": ["true", "false"],
    "text": [*WORDS, *NUMBERS],
    "character varying(4)": WORDS,
    "character(4)": WORDS,
    "name": WORDS,
    "date": STAMPS,
    "timestamp without time zone": STAMPS,
    "timestamp(0) without time zone": STAMPS,
    "timestamp with time zone": STAMPS,
    "timestamp(3) with time zone": STAMPS,
    "time without time zone": ["10:20:30.5", "00:00", "24:00"],
    "time with time zone": ["10:20:30.5+02", "00:00+00"],
    "interval": SPANS,
    "interval(0)": SPANS,
    "json": JSONS,
    "jsonb": JSONS,
    "bit(4)": ["1010"],
    "bit varying": ["", "10101", "1"],
    "inet": ["10.0.0.1/8", "10.0.0.0/8", "::1"],
    "cidr": ["10.0.0.0/8"],
    "uuid": ["00000000-0000-0000-0000-00000000000a"],
    "bytea": ["\\x00ff", "abc"],
    "point": ["(1,2)", "(0.1,0)"],
    "box": ["(1,1),(0,0)", "(2,0.5),(0,0)"],
}
KINDS = sorted(VALUES)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, list[str | None], str, str]:
    """Draw a type, values of it, another type, and the way in which they are converted."""
    former, wanted = draw(st.sampled_from(KINDS)), draw(st.sampled_from(KINDS))
    values = draw(st.lists(st.one_of(st.none(), st.sampled_from(VALUES[former])), min_size=1, max_size=4))
    return former, values, wanted, draw(st.sampled_from(["", f"v::{wanted}", f"v::text::{wanted}"]))


def meant(kind: str, value: str | None) -> Any:
    """Return what a value means: numbers whatever digits they are written with, JSON but for blanks and order."""
    if value is None:
        return None
    if kind.startswith("numeric") and kind.endswith("[]"):
        return [meant("numeric", None if part == "NULL" else part) for part in value.strip("{}").split(",") if part]
    if kind in {"real", "double precision", "numeric"} or kind.startswith("numeric("):
        return value if value == "NaN" else Decimal(value)
    if kind in {"json", "jsonb"}:
        return json.loads(value, object_pairs_hook=sorted, parse_float=Decimal)
    return value


def rows(cases: Cases, kind: str) -> list[Any]:
    """Return what the column's values mean, in the order in which they were put there."""
    return [meant(kind, value) for (value,) in cases.ask("SELECT v::text FROM t ORDER BY id")]


def done(cases: Cases, *statements: str) -> bool:
    """Run statements, and return whether the server took them."""
    try:
        cases.execute(*statements)
    except DBAPIError:
        cases.connection.rollback()
        return False
    return True


def fill(cases: Cases, kind: str, values: Sequence[str | None]) -> None:
    """Make a table of one column of a kind, and put those of the values there that are of it."""
    done(cases, "DROP TABLE IF EXISTS t", f"CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, v {kind})")
    for value in values:
        done(cases, f"INSERT INTO t (v) VALUES ({'NULL' if value is None else repr(value)})")


@pytest.mark.parametrize("extent", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=["quick", "long"])
def test_what_is_not_called_a_loss_comes_back(extent: settings, cases: Cases) -> None:
    """A change that loses nothing, by its rows or its types, can be taken back to the same values."""

    @extent
    @given(changes())
    def check(change: tuple[str, list[str | None], str, str]) -> None:
        former, values, wanted, using = change
        fill(cases, former, values)
        before = rows(cases, former)
        statement = f"ALTER TABLE t ALTER v TYPE {wanted}{f' USING {using}' if using else ''}"
        (loss,) = losses(statement)
        said = find_loss(driver_of(cases.connection), loss)
        cases.connection.rollback()
        note(f"{before} to {wanted}: {said}")
        if not done(cases, statement):
            return
        back = f"ALTER TABLE t ALTER v TYPE {former} USING"
        came_back = done(cases, f"{back} v::{former}") or done(cases, f"{back} v::text::{former}")
        kept = came_back and rows(cases, former) == before
        assert kept is (said is None)
        assert kept or not holds_every_value(former, wanted)

    check()
