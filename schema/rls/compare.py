"""Declared against actual isolation: differences, each with its cause. Pure; standard library only."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from schema.rls.policy import PERMIT, RESTRICT, Part, Policy

State = Mapping[str, Collection[Part]]
"""The parts of each table's isolation, by the table's name."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of a table's isolation as it is, and as it is declared; None where it is not there, or not declared."""

    table: str
    former: Part | None
    wanted: Part | None

    @property
    def cause(self) -> str:
        """What is amiss, in words."""
        if self.former is None:
            return f"{self.table}: {self._key} is missing"
        if self.wanted is None:
            return f"{self.table}: {self._key} is not declared"
        former, wanted = (" ".join("; ".join(part.create(self.table)).split()) for part in (self.former, self.wanted))
        return f"{self.table}: {self._key} is `{former}`, declared is `{wanted}`"

    @property
    def statements(self) -> tuple[str, ...]:
        """What makes the part as it is declared."""
        drop = self.former.drop(self.table) if self.former else ()
        return (*drop, *(self.wanted.create(self.table) if self.wanted else ()))

    @property
    def rank(self) -> int:
        """Where the part stands: flags, policies, triggers, grants."""
        part = self.former or self.wanted
        return part.rank if part else 0

    @property
    def _key(self) -> str:
        part = self.former or self.wanted
        return part.key if part else ""


def differences(declared: State, actual: State) -> tuple[Difference, ...]:
    """Return what differs, by table and part; the declared expressions are as PostgreSQL writes them.

    A table with no declared isolation is left alone, unless it holds a tenant policy: then it was a tenant table, and
    nothing of its isolation is to stay.
    """
    former = [table for table, parts in actual.items() if table not in declared and _is_isolated(parts)]
    return tuple(
        difference
        for table in sorted({*declared, *former})
        for difference in _of_table(table, declared.get(table, ()), actual.get(table, ()))
    )


def _of_table(table: str, declared: Collection[Part], actual: Collection[Part]) -> list[Difference]:
    wanted = {part.key: part for part in declared}
    former = {part.key: part for part in actual}
    found = [Difference(table, former.get(key), wanted.get(key)) for key in {**former, **wanted}]
    return sorted((one for one in found if one.former != one.wanted), key=lambda one: one.rank)


def _is_isolated(parts: Collection[Part]) -> bool:
    return any(isinstance(part, Policy) and part.name in {PERMIT, RESTRICT} for part in parts)
