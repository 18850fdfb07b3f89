"""The access matrix as a table for people and as plain data for programs, and read back from that."""

from collections.abc import Iterable
from dataclasses import asdict
from json import loads
from typing import Any

from schema.isolation.access.changes import Change
from schema.isolation.access.matrix import BY_POLICIES, Access, AppliedPolicy, Matrix

_HEAD = ("role", "kind", "object", "commands", "granted", "rows")
_LISTS = frozenset({"columns", "grants", "policies"})
_FIELDS = frozenset(Access.__dataclass_fields__)


def describe(matrix: Matrix) -> dict[str, Any]:
    """Return a matrix as plain data, in its own order."""
    return {"database": matrix.database, "access": [asdict(entry) for entry in matrix.access]}


def lines_of(changes: Iterable[Change]) -> list[str]:
    """Return a line for each difference, with all the commands that it concerns."""
    together: dict[tuple[str, ...], list[str]] = {}
    for change in changes:
        together.setdefault(change.place, []).append(change.access.command)
    return [
        f"{effect} {role}: {', '.join(commands)} on {subject}: {difference}"
        for (effect, role, subject, difference), commands in together.items()
    ]


def describe_change(change: Change) -> dict[str, str]:
    """Return a change as plain data."""
    access = change.access
    about = {
        "role": access.role,
        "as_role": access.as_role,
        "kind": access.kind,
        "object": access.object,
        "command": access.command,
    }
    return {"effect": change.effect, **about, "difference": change.difference}


def load(text: str) -> Matrix:
    """Read a matrix from the JSON of what `describe` returned.

    Raises:
        ValueError: it is none; says what is wrong.
    """
    document = loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("access"), list):
        raise ValueError("it holds no list called access")  # noqa: TRY004 - a file's content, no argument
    return Matrix(str(document.get("database", "")), tuple(map(_entry, document["access"])))


def _entry(found: Any) -> Access:
    if not isinstance(found, dict) or found.keys() != _FIELDS:
        raise ValueError("an entry has other fields than role, kind, object, command and what limits them")
    if any(not isinstance(found[name], list if name in _LISTS else str) for name in _FIELDS):
        raise ValueError("a field of an entry is of another type than it was written as")
    try:
        policies = tuple(AppliedPolicy(**policy) for policy in found["policies"])
        lists = {name: tuple(found[name]) for name in ("columns", "grants")}
    except TypeError as error:
        raise ValueError(f"an entry is malformed: {error}") from None
    return Access(**{**found, **lists, "policies": policies})


def table(matrix: Matrix) -> str:
    """Return a matrix as a table: commands that are granted and limited alike stand in one line."""
    together: dict[tuple[str, ...], list[str]] = {}
    for entry in matrix.access:
        together.setdefault(_alike(entry), []).append(entry.command)
    lines = [
        (role, kind, name, ", ".join(commands), granted, rows)
        for (role, kind, name, granted, rows), commands in together.items()
    ]
    widths = [max(len(line[place]) for line in (_HEAD, *lines)) for place in range(len(_HEAD))]
    return "\n".join(_aligned(line, widths) for line in (_HEAD, *lines))


def _alike(entry: Access) -> tuple[str, ...]:
    acting = f" as {entry.as_role}" if entry.as_role else ""
    columns = f" ({', '.join(entry.columns)})" if entry.columns else ""
    policies = ", ".join(policy.name for policy in entry.policies)
    rows = (f"by {policies}" if policies else "no policy, so no row") if entry.rows == BY_POLICIES else entry.rows
    return entry.role + acting, entry.kind, entry.object + columns, ", ".join(entry.grants), rows


def _aligned(line: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(f"{text:{width}}" for text, width in zip(line, widths, strict=True)).rstrip()
