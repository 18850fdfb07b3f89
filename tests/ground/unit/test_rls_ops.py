import ast
from typing import cast

import pytest
from alembic.autogenerate.api import AutogenContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url, text

from schema.migration.diff.rls.operations import LiteralSql, plain_literal, render_sql
from schema.tenancy.functions import FUNCTIONS

POSTGRESQL = make_url("postgresql+psycopg://").get_dialect()()
CONTEXT = cast(AutogenContext, None)


def executed(operation: LiteralSql) -> list[str]:
    """Return the SQL that reaches the driver when the rendered lines run."""
    sql: list[str] = []

    class Op:
        @staticmethod
        def execute(statement: str) -> None:
            sql.append(str(text(statement).compile(dialect=POSTGRESQL)))

    for line in render_sql(CONTEXT, operation):
        exec(line, {"op": Op})  # noqa: S102 - a migration is Python that gets run
    return sql


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.signature)
def test_functions_reach_the_server_as_declared(function: object) -> None:
    """Rendering changes neither indentation nor colons; only the driver's percent signs are doubled."""
    create = getattr(function, "create", "")
    assert executed(LiteralSql((create,), ())) == [create.replace("%", "%%")]


@given(st.text(alphabet="ab :'\"\\%\n$(){}", max_size=40).filter(str.strip))
def test_any_statement_survives_rendering(statement: str) -> None:
    """Quotes, backslashes, colons and line ends arrive as they were."""
    assert executed(LiteralSql((statement,), ())) == [statement.replace("%", "%%")]


def test_reversing_swaps_the_directions() -> None:
    """A downgrade executes what undoes, in a tuple of its own."""
    operation = LiteralSql(("up",), ("down",))
    assert operation.reverse().to_diff_tuple() == ("execute", "down")
    assert operation.reverse().reverse().upgrade == operation.upgrade


def test_nothing_to_undo_renders_nothing() -> None:
    """Dropping a table needs no statements for its policies."""
    assert render_sql(CONTEXT, LiteralSql(("SELECT 1",), ()).reverse()) == []


@given(st.text(alphabet="ab'\"\\\n\té\u2028", max_size=12))
def test_a_literal_stands_for_its_line(line: str) -> None:
    """Whatever it holds."""
    assert ast.literal_eval(plain_literal(line)) == line


@pytest.mark.parametrize(
    "line",
    [
        "ALTER TYPE \"mood\" ADD VALUE 'c'",
        "ALTER TYPE 'c' ON \"mood\"",
        r"CHECK (ext ~ '^\d+\:\.$')",
        "it's",
        'a "b"',
        "'c' \"m\"\n",
    ],
)
def test_a_reviewer_reads_what_the_server_gets(line: str) -> None:
    """No quote and no backslash of a line is escaped: the file holds it as it is."""
    assert line.removesuffix("\n") in plain_literal(line)
