"""What a test asks of queries: how many there are, and how the server finds their rows."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Executable, event
from sqlalchemy.orm import Session

Statement = tuple[str, Any]
MaxQueries = Callable[[int], AbstractContextManager[list[Statement]]]
Explain = Callable[..., list[dict[str, Any]]]


@contextmanager
def listening() -> Iterator[list[Statement]]:
    """Collect the statements of every engine in this process, with their parameters."""
    seen: list[Statement] = []

    def see(_connection: Connection, _cursor: object, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", see)


@pytest.fixture
def max_queries() -> MaxQueries:
    """Give a block that fails where it sends more queries than it may, and lists them.

    `with max_queries(3): …` allows three.
    """

    @contextmanager
    def block(most: int) -> Iterator[list[Statement]]:
        with listening() as seen:
            yield seen
        if len(seen) > most:
            listed = "\n".join(f"{number}. {' '.join(text.split())}" for number, (text, _) in enumerate(seen, 1))
            pytest.fail(f"{len(seen)} queries, and {most} are allowed:\n{listed}", pytrace=False)

    return block


@pytest.fixture
def explain() -> Explain:
    """Give what runs a query and looks how its rows are found: `explain(session, select(…), rows=1000)`.

    It fails where more than `rows` rows of a table are read one after the other, or are read by an index, such as that
    of their tenant, only to be left out by a filter. The plans are returned.
    """

    def check(session: Session, statement: Executable, rows: int = 1000) -> list[dict[str, Any]]:
        with listening() as seen:
            session.execute(statement)
        plans = [_plan(session, *each) for each in seen]
        for node in (node for plan in plans for node in _nodes(plan) if "Relation Name" in node):
            if (read := _avoidable_rows(node)) > rows:
                pytest.fail(
                    f"a {node['Node Type']} of {node['Relation Name']} reads {read:.0f} rows, and {rows} are allowed; "
                    f"its filter: {node.get('Filter', 'none')}",
                    pytrace=False,
                )
        return plans

    return check


def _plan(session: Session, statement: str, parameters: Any) -> dict[str, Any]:
    asked = session.connection().exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
    plan: dict[str, Any] = asked.scalar_one()[0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _avoidable_rows(node: dict[str, Any]) -> float:
    """Return how many rows a scan reads that an index on the query's columns would not have it read."""
    found: float = node["Actual Rows"] if node["Node Type"] == "Seq Scan" else 0
    return (found + float(node.get("Rows Removed by Filter", 0))) * float(node["Actual Loops"])
