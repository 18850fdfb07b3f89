"""What a role may do with an object, put together from the grants that reach it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

BY_POLICIES, UNPROTECTED, BYPASSED, BY_OWNERSHIP, AS_READER = (
    "policies",
    "unprotected",
    "bypassed",
    "owner",
    "as reader",
)
_BY_POLICIES = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})


@dataclass(frozen=True, slots=True, order=True)
class AppliedPolicy:
    """A policy that applies to a role's command, with those expressions that do, as PostgreSQL writes them."""

    name: str
    permissive: bool
    using: str
    check: str


@dataclass(frozen=True, slots=True, order=True)
class Access:
    """One command that a role may use on one object.

    `as_role` is whom it must become by SET ROLE first, empty where it has the right itself; `columns` are those that it
    is limited to, none where it is the whole; `grants` are the ways by which it has the right. `rows` says what limits
    the rows: policies, or that none does, or as whom a view or function answers; empty where there are no rows.
    """

    role: str
    as_role: str
    kind: str
    object: str
    command: str
    columns: tuple[str, ...]
    grants: tuple[str, ...]
    rows: str
    policies: tuple[AppliedPolicy, ...]

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What it is about, whatever limits it."""
        return self.role, self.kind, self.object, self.command, self.as_role


@dataclass(frozen=True, slots=True)
class Matrix:
    """Every access of every role that can log in to a database, sorted."""

    database: str
    access: tuple[Access, ...]


@dataclass(frozen=True, slots=True)
class GrantRow:
    """One grant that reaches a role; `answers_as` says as whom a view or function answers, or what guards an object."""

    role: str
    actor: str
    kind: str
    object: str
    command: str
    column: str
    grant: str
    answers_as: str


@dataclass(frozen=True, slots=True)
class BoundRow:
    """What limits an actor's rows of a table: policies, ownership without FORCE, an attribute, or nothing."""

    actor: str
    object: str
    bound: str


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A policy that applies to an actor; `command` is that of the policy, * for all."""

    actor: str
    object: str
    command: str
    policy: AppliedPolicy


def build(
    database: str, grants: Iterable[GrantRow], bounds: Iterable[BoundRow], policies: Iterable[PolicyRow]
) -> Matrix:
    """Put the matrix together; what a role could do as another, and can do itself in the same way, is left out."""
    bound = {(row.actor, row.object): row.bound for row in bounds}
    applied: dict[tuple[str, str], list[PolicyRow]] = {}
    for row in policies:
        applied.setdefault((row.actor, row.object), []).append(row)
    found: dict[tuple[str, ...], list[GrantRow]] = {}
    for grant in grants:
        found.setdefault((grant.role, grant.actor, grant.kind, grant.object, grant.command), []).append(grant)
    entries = [_entry(rows, bound, applied) for rows in found.values()]
    own = {entry.key: entry for entry in entries if not entry.as_role}
    return Matrix(database, tuple(sorted(entry for entry in entries if not _is_covered(entry, own))))


def _entry(
    rows: list[GrantRow],
    bound: Mapping[tuple[str, str], str],
    applied: Mapping[tuple[str, str], list[PolicyRow]],
) -> Access:
    first, whole = rows[0], [row for row in rows if not row.column]
    limits, policies = first.answers_as, tuple[AppliedPolicy, ...]()
    if (at := (first.actor, first.object)) in bound and first.kind in {"table", "partition"}:
        limits = _limits(first.command, bound[at])
        if limits == BY_POLICIES:
            policies = tuple(sorted(_applying(first.command, applied.get(at, ()))))
    return Access(
        role=first.role,
        as_role="" if first.actor == first.role else first.actor,
        kind=first.kind,
        object=first.object,
        command=first.command,
        columns=() if whole else tuple(sorted({row.column for row in rows})),
        grants=tuple(sorted({row.grant for row in whole or rows})),
        rows=limits,
        policies=policies,
    )


def _limits(command: str, bound: str) -> str:
    if command in _BY_POLICIES:
        return bound
    return UNPROTECTED if command == "TRUNCATE" else ""


def _applying(command: str, policies: Iterable[PolicyRow]) -> Iterator[AppliedPolicy]:
    letters = {"SELECT": "r", "INSERT": "a", "UPDATE": "w", "DELETE": "d"}  # PostgreSQL manual, 53.38
    for row in policies:
        if row.command in {"*", letters[command]}:
            policy = row.policy
            # What is written is held to WITH CHECK, else to USING (PostgreSQL manual, CREATE POLICY).
            using = "" if command == "INSERT" else policy.using
            check = (policy.check or policy.using) if command in {"INSERT", "UPDATE"} else ""
            yield AppliedPolicy(policy.name, policy.permissive, using, check)


def _is_covered(entry: Access, own: Mapping[tuple[str, str, str, str, str], Access]) -> bool:
    """Return whether a role may do itself, and as widely, what it could do after SET ROLE."""
    same = own.get((*entry.key[:4], ""))
    if not entry.as_role or same is None:
        return False
    as_widely = same.rows in {BYPASSED, UNPROTECTED} or (same.rows, same.policies) == (entry.rows, entry.policies)
    return as_widely and (not same.columns or (bool(entry.columns) and {*entry.columns} <= {*same.columns}))
