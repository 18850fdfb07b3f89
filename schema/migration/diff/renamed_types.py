"""Renamed enum types: one is dropped and one added with the same labels, so nothing else can be meant."""

from collections.abc import Iterator, Mapping

from infra.config.sql_text import quote
from schema.migration.diff.column_changes import Statements

Labels = Mapping[str, tuple[str, ...]]
"""The labels of enum types, by their names."""


def renamed_types(actual: Labels, wanted: Labels) -> Iterator[Statements]:
    """Yield what renames the types that are there to those that are declared; where several may be one, none is."""
    gone = {name: labels for name, labels in actual.items() if name not in wanted}
    new = {name: labels for name, labels in wanted.items() if name not in actual}
    for name, labels in new.items():
        former = [one for one, found in gone.items() if found == labels]
        if len(former) == 1 and [*new.values()].count(labels) == 1:
            yield Statements((_rename(former[0], name),), (_rename(name, former[0]),))


def _rename(former: str, now: str) -> str:
    return f"ALTER TYPE {quote(former)} RENAME TO {quote(now)}"
