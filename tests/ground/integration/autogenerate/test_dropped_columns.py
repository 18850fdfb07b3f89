"""A required column that is dropped can come back into a table with rows, or the file says what it takes."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import ARRAY, Boolean, DateTime, Numeric, String, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from tests.ground.integration.autogenerate.changes import check, column, declared, mood, table
from tests.kit.cases import Cases

pytestmark = pytest.mark.one_backend

REQUIRED: dict[str, tuple[Callable[[], Any], str]] = {
    "text": (Text, "''"),
    "varchar": (lambda: String(5), "''"),
    "numeric": (lambda: Numeric(4, 1), "0"),
    "boolean": (Boolean, "false"),
    "timestamp": (lambda: DateTime(timezone=True), "'epoch'"),
    "json": (JSONB, "'{}'"),
    "array": (lambda: ARRAY(Text), "'{}'"),
}


@pytest.mark.parametrize("kind", REQUIRED)
def test_a_dropped_required_column_comes_back_into_a_table_with_rows(kind: str, cases: Cases) -> None:
    """It is what it was, without a default, and holds the type's empty value; the file says so."""
    made, empty = REQUIRED[kind]
    cases.run(cases.generate(declared(table(column("needed", made(), nullable=False)))).upgrade)
    before = cases.shape
    written = cases.generate(declared(table()))
    cases.run(written.upgrade)
    cases.execute("INSERT INTO t (id) VALUES (1), (2)")
    cases.run(written.downgrade)
    assert cases.shape == before
    assert cases.ask(f"SELECT count(*) FROM t WHERE needed::text = ({empty}::{_type(cases)})::text") == [(2,)]
    assert f"# What rows held in t.needed is gone: those that are there get {empty}." in written.downgrade


def _type(cases: Cases) -> str:
    ((found,),) = cases.ask(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 't'::regclass AND attname = 'needed'"
    )
    return str(found)


@pytest.mark.parametrize("kind", [Uuid, lambda: mood("ok", "sad"), Text], ids=["uuid", "enum", "checked"])
def test_a_required_column_that_nothing_fills_says_what_to_do(kind: Callable[[], Any], cases: Cases) -> None:
    """No id, label or value that a CHECK may refuse is made up: the reviewer reads what a rollback needs."""
    checked = [check("length(needed) > 1")] if kind is Text else []
    cases.run(cases.generate(declared(table(column("needed", kind(), nullable=False), *checked))).upgrade)
    before = cases.shape
    written = cases.generate(declared(table()))
    assert "# t.needed is NOT NULL: where there are rows" in written.downgrade
    cases.run(written.upgrade)
    cases.run(written.downgrade)
    assert cases.shape == before
