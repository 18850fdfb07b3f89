"""Declared against actual isolation: differences, each with its cause."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from schema.tenancy.policies import PERMIT, RESTRICT, Grant, Part, Policy

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
        """What is wrong, in words."""
        if self.former is None:
            return f"{self.table}: {self._title} is missing"
        if self.wanted is None:
            return f"{self.table}: {self._title} is not declared"
        if self.former == self.wanted:
            return f"{self.table}: {self._title} goes with what is revoked on the table"
        former, wanted = (" ".join("; ".join(part.create(self.table)).split()) for part in (self.former, self.wanted))
        return f"{self.table}: {self._title} is `{former}`, declared is `{wanted}`"

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
    def _title(self) -> str:
        part = self.former or self.wanted
        return str(part) if isinstance(part, Grant) else part.key if part else ""


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
    revoked = [change.former for change in found if change.former != change.wanted]
    return sorted(
        (change for change in found if change.former != change.wanted or _goes_along(change.former, revoked)),
        key=lambda change: change.rank,
    )


def _goes_along(part: Part | None, revoked: Iterable[Part | None]) -> bool:
    """Return whether a right on columns goes with one on the table that is revoked (PostgreSQL manual, REVOKE)."""
    return isinstance(part, Grant) and any(
        isinstance(grant, Grant)
        and grant.grantee == part.grantee
        and bool(part.columns and not grant.columns and {*part.privileges}.intersection(grant.privileges))
        for grant in revoked
    )


def _is_isolated(parts: Collection[Part]) -> bool:
    return any(isinstance(part, Policy) and part.name in {PERMIT, RESTRICT} for part in parts)
