"""Which finding explains which: one cause opens many tables to many attacks.

What concerns a role or the tenant's function opens every table, what concerns a table that table, and a key its own
attack. A row that could not be made up is never explained: nothing was tried with it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from infra.config.settings import Role, function_schema
from schema.isolation.finding import Finding

_TENANT_FUNCTION = f"{function_schema()}.tenant_id()"
_BYPASSING = frozenset({"SUPERUSER", "BYPASSRLS"})
_ON_ROLES = frozenset({"role-membership", "session-default"})
_ON_TABLES = frozenset(
    {
        *("row-security-off", "policy-missing", "policy-predicate", "policy-command", "policy-role"),
        *("policy-permissive", "partition-unprotected", "rewrite-rule", "owned-by-user", "table-unprotected"),
    }
)
_ON_KEYS = {"probe-upsert": "unique-across-tenants", "probe-reference": "foreign-key-across-tenants"}
_NOT_ATTACKS = frozenset({"probe-row"})
_PAST_POLICIES = frozenset({"probe-reference"})
"""Attacks that no policy holds, so that none which is missing or passed by explains them."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A finding, and those that are there because of it."""

    finding: Finding
    explains: tuple[Finding, ...] = ()


def explain(findings: Sequence[Finding]) -> tuple[Explained, ...]:
    """Return the findings that nothing explains, in their order, each with those that it explains."""
    causes = _possible_causes(findings)
    cause_of = {id(found): _cause(found, causes) for found in findings}
    explained: dict[int, list[Finding]] = {}
    for found in findings:
        if (root := _root(found, cause_of)) is not found:
            explained.setdefault(id(root), []).append(found)
    roots = (found for found in findings if cause_of[id(found)] is None)
    return tuple(Explained(found, tuple(explained.get(id(found), ()))) for found in roots)


def _root(found: Finding, cause_of: dict[int, Finding | None]) -> Finding:
    while (cause := cause_of[id(found)]) is not None:
        found = cause
    return found


def _possible_causes(findings: Sequence[Finding]) -> list[Finding]:
    """Return what may be a cause, the widest first: a finding is explained only by one that stands before it."""
    return [found for rank in range(_NARROWEST + 1) for found in findings if _rank(found) == rank]


_ROLE, _CONNECTION, _FUNCTION, _TABLE, _OTHER, _DECLARED, _NARROWEST = range(7)


def _rank(found: Finding) -> int:
    if _is_past_policies(found):
        return _ROLE
    if found.rule == "application-role":
        return _CONNECTION
    if found.object == _TENANT_FUNCTION:
        return _FUNCTION
    if found.rule in _ON_TABLES:
        return _TABLE
    if found.rule == "as-declared":
        return _DECLARED
    return _NARROWEST if found.rule.startswith("probe-") else _OTHER


def _is_past_policies(found: Finding) -> bool:
    """Return whether it lets the application past every policy."""
    if _role_of(found) in {str(Role.OWNER), str(Role.MAINTENANCE)}:
        return False
    by_attribute = found.rule == "role-attribute" and found.object.partition(" ")[0] in _BYPASSING
    return by_attribute or found.rule in _ON_ROLES


def _role_of(found: Finding) -> str:
    """Return the role that a finding is about: its object ends with it."""
    return found.object.rpartition(" ")[2]


def _cause(found: Finding, causes: Iterable[Finding]) -> Finding | None:
    for cause in causes:
        if cause is found or _rank(cause) > _rank(found):
            return None
        if _explains(cause, found):
            return cause
    return None


def _explains(cause: Finding, found: Finding) -> bool:
    if found.rule in _NOT_ATTACKS:
        return False
    if found.rule.startswith("probe-"):
        return _opens(cause, found)
    if found.rule == "allow-list":
        # Of a role that is past the policies it is not asked what it may do, so that entries match nothing.
        return _rank(cause) == _ROLE
    if _rank(found) == _CONNECTION:
        return cause.rule == "role-attribute" and _role_of(cause) == _role_of(found)
    if _rank(cause) == _FUNCTION:
        return found.object == _TENANT_FUNCTION or found.rule in {"policy-missing", "policy-predicate"}
    return found.rule == "as-declared" and _is_of(cause.object, found.object) and _same_fix(cause, found)


def _opens(cause: Finding, attack: Finding) -> bool:
    """Return whether an attack got through by a cause; attacks on one table that nothing else explains are one."""
    rank = _rank(cause)
    if cause.rule == _ON_KEYS.get(attack.rule):
        return cause.object == attack.object
    if attack.rule in _PAST_POLICIES:
        return False
    if rank in {_ROLE, _CONNECTION, _FUNCTION}:
        return True
    if attack.rule == "probe-truncate" and cause.rule in {"user-privilege", "public-privilege"}:
        return cause.object == f"TRUNCATE ON TABLE {attack.object}"
    if rank == _TABLE:
        return any(_is_of(cause.object, table) for table in _tables(attack))
    same_table = cause.rule.startswith("probe-") and cause.rule not in {*_NOT_ATTACKS, *_PAST_POLICIES}
    return same_table and any(cause.object == table for table in _tables(attack))


def is_attack(found: Finding) -> bool:
    """Return whether a finding is an attack that got through."""
    return found.rule.startswith("probe-") and found.rule not in _NOT_ATTACKS


def place_of(found: Finding) -> str:
    """Return the table of an attack, and of any other finding its object."""
    return found.object.rpartition(".")[0] if found.rule in _ON_KEYS else found.object


def _tables(found: Finding) -> Iterator[str]:
    """Yield what may be the table of an attack: its object, and without the name of the key that may stand last."""
    yield found.object
    if found.rule in _ON_KEYS:
        yield place_of(found)


def _is_of(name: str, table: str) -> bool:
    """Return whether an object is a table, something of it, or the table as PostgreSQL describes it."""
    return name == table or name.startswith(f"{table}.") or name == f"table {table}"


def _same_fix(cause: Finding, found: Finding) -> bool:
    """Return whether the statements of one put the other right, however their names are quoted."""
    one, other = (each.fix.replace('"', "").rstrip(";") for each in (cause, found))
    return one in other or other in one
