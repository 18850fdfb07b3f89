"""The changes of expressions, and of what they name, where PostgreSQL's own text is another once it has been read."""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import ARRAY, Boolean, Column, Computed, Integer, MetaData, String, Table, Text, text
from sqlalchemy.dialects.postgresql import CIDR, ExcludeConstraint
from sqlalchemy.schema import CreateView

from tests.ground.integration.autogenerate.changes import (
    ALL_NOTES,
    INVOKER,
    NOTED,
    Change,
    Declare,
    check,
    column,
    index,
    notes,
    several,
    table,
    tenants,
    view,
)

# Of no fixed point: the array of varchar is cast as a whole, and AND stands within AND.
ONE_OF = "s IN ({}) AND (id > 0 AND (id > 1 OR id < 9))"


def is_one_of(labels: Iterable[str]) -> str:
    """Return the condition that column `s` holds one of the labels."""
    return ONE_OF.format(", ".join(f"'{label}'" for label in labels))


def varied(kind: Any, *labels: str, name: str = "t") -> Declare:
    """Declare a table that holds the condition wherever a table may hold an expression."""
    condition = is_one_of(labels)

    def declare(metadata: MetaData) -> object:
        return Table(
            name,
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("s", kind, server_default=labels[0]),
            Column(
                "d", ARRAY(Text), server_default=text(f"CAST(ARRAY['{labels[-1]}'::varchar, lower('A')] AS text[])")
            ),
            Column("g", Boolean, Computed(condition, persisted=True)),
            *(make() for make in _objects(condition)),
        )

    return declare


def _objects(condition: str) -> tuple[Callable[[], Any], ...]:
    return (
        check(condition),
        index("ix_partial", "id", postgresql_where=text(condition)),
        index("ix_expression", text(f"({condition})")),
        lambda: ExcludeConstraint((text("int8range(id, id + 1)"), "&&"), name="apart", where=text(condition)),
    )


def seen(kind: Any, *labels: str) -> Declare:
    """Declare that table, a view that holds the condition and another view of it."""

    def of_view(metadata: MetaData) -> object:
        v = metadata.tables["v"]
        chosen = v.select().where(text(is_one_of(labels)))
        return CreateView(chosen, "w", metadata=metadata, **INVOKER)

    return several(varied(kind, *labels), view(is_one_of(labels), "id", "s", **INVOKER), of_view)


def addresses(*networks: str) -> Declare:
    """Declare a table whose CHECK names networks, which are compared as addresses."""
    return table(column("s", CIDR), check(is_one_of(networks)))


HELD = ("INSERT INTO t (id, s) VALUES (1, 'a')",)
BOTH = "SELECT id, s::text FROM t ORDER BY 1"

EXPRESSIONS = {
    "varchar longer under expressions": Change(seen(String(20), "a", "b"), seen(String(30), "a", "b"), HELD, BOTH),
    "varchar to text under expressions": Change(seen(String(20), "a", "b"), seen(Text, "a", "b"), HELD, BOTH),
    "one label more in expressions": Change(
        seen(String(20), "a", "b"), seen(String(20), "a", "b", "it''s [c]"), HELD, BOTH
    ),
    "table with expressions dropped": Change(several(table(), varied(String(20), "a", "b", name="u")), table()),
    "expressions dropped": Change(seen(String(20), "a", "b"), table(column("s", String(20))), HELD, BOTH),
    "column under expressions dropped": Change(varied(String(20), "a", "b"), table(), HELD),
    "networks that are compared as addresses": Change(
        addresses("10.0.0.0/8", "::/0"),
        addresses("10.0.0.0/8", "11.0.0.0/8"),
        ("INSERT INTO t VALUES (1, '10.0.0.0/8')",),
        BOTH,
    ),
    "one label more in a policy": Change(
        several(tenants, notes(String(9), "level IN ('1', 'b')")),
        several(tenants, notes(String(9), "level IN ('1', 'b', 'c')")),
        NOTED,
        ALL_NOTES,
    ),
    "varchar longer under a policy": Change(
        several(tenants, notes(String(9), "level IN ('1', 'b')")),
        several(tenants, notes(String(19), "level IN ('1', 'b')")),
        NOTED,
        ALL_NOTES,
    ),
}
