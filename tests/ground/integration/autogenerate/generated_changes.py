"""The changes of generated columns, and of what they are generated from."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Computed, Integer, UniqueConstraint

from tests.ground.integration.autogenerate.changes import (
    BOTH,
    FILLED,
    HAPPY,
    MOOD,
    Change,
    M,
    N,
    check,
    column,
    index,
    mood,
    several,
    table,
    view,
)


def twice(**options: Any) -> Callable[[], Column[Any]]:
    """Declare a column that is generated of another, with a comment."""
    return column("m", Integer, lambda: Computed("n * 2", persisted=True), comment="twice", **options)


def happy() -> Callable[[], Column[Any]]:
    """Declare a column that is generated of one of an enum type."""
    return column("happy", Boolean, lambda: Computed("m = 'ok'", persisted=True))


def generated_mood(*labels: str) -> Callable[[], Column[Any]]:
    """Declare a generated column of an enum type."""
    made = "CASE WHEN n > 1 THEN 'ok'::mood ELSE 'sad'::mood END"
    return column("m", mood(*labels), lambda: Computed(made, persisted=True))


def doubled(kind: Any) -> Callable[[], Column[Any]]:
    """Declare a column of a type that is generated of another."""
    return column("m", kind, lambda: Computed("n * 2", persisted=True))


GENERATED = {
    "type of a generated column and of its source": Change(
        table(N, doubled(Integer)), table(column("n", BigInteger), doubled(BigInteger)), FILLED, BOTH
    ),
    "type of a source that comes behind": Change(
        table(doubled(Integer), N), table(doubled(BigInteger), column("n", BigInteger)), FILLED, BOTH
    ),
    "generated column added": Change(
        table(N), table(N, column("m", Integer, lambda: Computed("n * 2", persisted=True))), FILLED, BOTH
    ),
    "generated column's expression": Change(
        table(
            N,
            column("m", Integer, lambda: Computed("n * 2", persisted=True)),
            index("ix_m", "m"),
            lambda: UniqueConstraint("m"),
        ),
        table(
            N,
            column("m", Integer, lambda: Computed("n * 3", persisted=True)),
            index("ix_m", "m"),
            lambda: UniqueConstraint("m"),
        ),
        FILLED,
        BOTH,
    ),
    "generated of other columns": Change(
        table(N, column("m", Integer, lambda: Computed("n * 2", persisted=True))),
        table(column("k", Integer), column("m", Integer, lambda: Computed("k * 3", persisted=True))),
    ),
    "type under a generated column": Change(
        several(table(N, twice(), check("m > 1"), index("ix_m", "m")), view("m > 2", "id", "m")),
        several(
            table(column("n", BigInteger), twice(nullable=False), check("m > 1"), index("ix_m", "m")),
            view("m > 2", "id", "m"),
        ),
        FILLED,
        "SELECT id, n, m FROM t ORDER BY 1",
    ),
    "type under a generated column that goes": Change(
        table(N, twice(), check("m > 1"), index("ix_m", "m")), table(column("n", BigInteger)), FILLED, BOTH
    ),
    "type under a column that is generated no longer": Change(
        table(N, twice()), table(column("n", BigInteger), M), FILLED, "SELECT id, n, m FROM t ORDER BY 1"
    ),
    "type under a column that is generated otherwise": Change(
        table(N, twice()),
        table(column("n", BigInteger), column("m", Integer, lambda: Computed("id", persisted=True), comment="c")),
        FILLED,
        BOTH,
    ),
    "type under a generated column with a new index": Change(
        table(N, twice()),
        table(column("n", BigInteger), twice(), index("ix_m", "m"), lambda: UniqueConstraint("m")),
        FILLED,
        "SELECT id, n, m FROM t ORDER BY 1",
    ),
    "generated otherwise of a new column with a new index": Change(
        table(N, column("m", Integer, lambda: Computed("n * 2", persisted=True))),
        table(
            column("k", Integer), column("m", Integer, lambda: Computed("k * 3", persisted=True)), index("ix_m", "m")
        ),
    ),
    "generated columns that come and go with what they are generated from": Change(
        table(N, twice(), index("ix_m", "m")),
        table(
            column("l", Integer, lambda: Computed("k * 3", persisted=True)), column("k", Integer), index("ix_l", "l")
        ),
    ),
    "enum reordered under a generated column": Change(
        table(MOOD, happy(), index("ix_happy", "happy")),
        table(column("m", mood("sad", "ok")), happy(), index("ix_happy", "happy")),
        HAPPY,
        "SELECT id, m::text, happy FROM t ORDER BY 1",
    ),
    "enum value appended under a generated column": Change(
        table(MOOD, happy(), index("ix_happy", "happy")),
        table(column("m", mood("ok", "sad", "odd")), happy(), index("ix_happy", "happy")),
        HAPPY,
        "SELECT id, m::text, happy FROM t ORDER BY 1",
    ),
    "enum of a generated column": Change(
        table(N, generated_mood("ok", "sad")), table(N, generated_mood("sad", "ok")), FILLED, BOTH
    ),
    "enum value appended of a generated column": Change(
        table(N, generated_mood("ok", "sad")), table(N, generated_mood("ok", "sad", "odd")), FILLED, BOTH
    ),
    "generated no longer": Change(
        table(N, column("m", Integer, lambda: Computed("n * 2", persisted=True))),
        table(N, M),
        FILLED,
        "SELECT id, n, m FROM t ORDER BY 1",
    ),
}
