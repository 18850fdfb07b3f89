"""Reasons for what `generate` writes and a lint would question: comments above the statements. Decides on text alone.

Only what is known to be safe, cannot be written otherwise, or was asked for has one. What blocks others for as long as
the table is large has none: a person decides that.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from schema.migration.diff.column_changes import FORMER

_WIDTH = 110
"""Longest comment in characters; with indentation and sign it fits a line."""
_QUESTIONABLE = re.compile(
    r"op\.drop_|op\.rename_|ADD VALUE|ALTER COLUMN|DROP |RENAME |GENERATED ALWAYS AS|op\.create_foreign"
)
_BODY = re.compile(r"^def (upgrade|downgrade)\(\).*?(?=^def |\Z)", re.MULTILINE | re.DOTALL)
_RETYPED = re.compile(r"ALTER TABLE (\S+) ALTER COLUMN (\S+) TYPE (.+?)(?: USING (.+))?$")
_ALONE = (
    (r".* ADD VALUE (?!.* (?:BEFORE|AFTER) ')", "require-enum-value-ordering", "it is the last value, as in the model"),
    (rf"DROP TYPE {FORMER}$", "ban-drop-type", "the new type has taken its place"),
    (rf"DROP SEQUENCE {FORMER}$", "ban-drop-sequence", "another sequence goes on from it"),
    (r"ALTER TABLE \S+ RENAME COLUMN ", "renaming-column", "asked for with --rename"),
    (r"ALTER TABLE \S+ RENAME TO ", "renaming-table", "asked for with --rename"),
    (
        r"ALTER TABLE \S+ ADD COLUMN .* GENERATED ALWAYS AS \(",
        "adding-field-with-default",
        "PostgreSQL computes it for every row, and has no other way",
    ),
)
"""Statements that are known by themselves, each with the rule and the reason."""
_AGAIN = (
    (
        r"(ALTER TABLE \S+ ALTER COLUMN \S+) DROP (DEFAULT)$",
        "{0} SET {1} ",
        "ban-drop-default",
        "it is set again below",
    ),
    (
        r"(ALTER TABLE \S+) DROP CONSTRAINT (\S+)$",
        "{0} ADD CONSTRAINT {1} ",
        "ban-drop-constraint",
        "it is added again below, as declared now",
    ),
    (
        r"(ALTER TABLE \S+) DROP COLUMN (\S+)$",
        "{0} ADD COLUMN {1} ",
        "ban-drop-column",
        "it is added again below: PostgreSQL 16 cannot change it in place",
    ),
)
"""Statements that a later one makes good: how that one begins, the rule and the reason."""
_LENGTH = re.compile(r"(character varying|bit varying|timestamp|time|interval|numeric)(?:\((\d+)(?:,(-?\d+))?\))?(.*)$")


@dataclass(frozen=True, slots=True)
class _Statement:
    """A statement of the file: its line, what of `op` it calls, and the SQL or the name that it is called with."""

    line: int
    call: str
    text: str


Allowance = tuple[str, str]
"""A rule and the reason for its exception."""


def with_reasons(source: str, *, drops: bool) -> str:
    """Return a generated migration with the comments that allow what it does on purpose; `drops` were asked for."""
    bodies = {match[1]: match for match in _BODY.finditer(source)}
    upgrade = bodies["upgrade"]
    if not _QUESTIONABLE.search(upgrade[0]):
        return source
    statements, back = _statements(upgrade[0]), _statements(bodies["downgrade"][0])
    lines, first = source.splitlines(keepends=True), source[: upgrade.start()].count("\n")
    for index, statement in reversed([*enumerate(statements)]):
        place = first + statement.line - 1
        indentation = lines[place][: len(lines[place]) - len(lines[place].lstrip())]
        for rule, reason in _allowances(statements, index, back, drops):
            lines[place:place] = [f"{indentation}# {line}\n" for line in wrap(f"allow {rule}: {reason}", _WIDTH)]
    return "".join(lines)


def _statements(body: str) -> list[_Statement]:
    """Return the calls that are statements, in the order of their lines."""
    found = [
        _Statement(node.lineno, node.value.func.attr, _text(node.value.args[0]))
        for node in ast.walk(ast.parse(body))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.args
    ]
    return sorted(found, key=lambda statement: statement.line)


def _text(argument: ast.expr) -> str:
    """Return an argument's string, or that of `op.f(…)`, as the database gets it."""
    constants = (
        constant.value
        for constant in ast.walk(argument)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    )
    return next(constants, "").replace("\\:", ":")


def _allowances(
    statements: Sequence[_Statement], index: int, back: Sequence[_Statement], drops: bool
) -> Iterator[Allowance]:
    statement, after = statements[index], statements[index + 1 :]
    former = next((found for other in back if (found := _same_column(statement.text, other.text))), "")
    yield from _of_call(statement, after, drops)
    yield from _of_sql(statement.text, [other.text for other in after], former)
    if statement.call == "create_foreign_key" and index and "NO FORCE ROW LEVEL" in statements[index - 1].text:
        reason = "it is validated with the rows of every tenant, which the owner sees in this statement alone"
        yield "adding-foreign-key-constraint", reason
        yield "constraint-missing-not-valid", reason


def _of_call(statement: _Statement, after: Sequence[_Statement], drops: bool) -> Iterator[Allowance]:
    match statement.call:
        case "drop_index":
            yield "require-concurrent-index-deletion", "an index is dropped in a moment, whatever the table holds"
        case "drop_constraint" if any(
            other.call.startswith("create_") and other.text == statement.text for other in after
        ):
            yield "ban-drop-constraint", "it is added again below, as declared now"
        case "drop_column" if drops:
            yield "ban-drop-column", "asked for with --allow-drop"
        case "drop_table" if drops:
            yield "ban-drop-table", "asked for with --allow-drop"


def _of_sql(sql: str, after: Sequence[str], former: str) -> Iterator[Allowance]:
    """Yield what is known of SQL by itself, by the statements after it, and by the former type of its column."""
    for pattern, rule, reason in _ALONE:
        if re.match(pattern, sql, re.DOTALL):
            yield rule, reason
    for pattern, later, rule, reason in _AGAIN:
        if (found := re.match(pattern, sql)) and any(
            other.startswith(later.format(*found.groups())) for other in after
        ):
            yield rule, reason
    if found := _RETYPED.match(sql):
        yield from _of_type(found, former, after)


def _of_type(found: "re.Match[str]", former: str, after: Sequence[str]) -> Iterator[Allowance]:
    if f"DROP TYPE {FORMER}" in after:
        yield "changing-column-type", "a value can only be taken out of an enum type by making the type again"
    elif not found[4] and former and holds_in_place(former, found[3]):
        yield "changing-column-type", f"every value of {former} is one of {found[3]}, so no row is rewritten"


def _same_column(sql: str, back: str) -> str:
    """Return the type that a downgrade gives back to the column that a statement changes; nothing for others."""
    here, there = _RETYPED.match(sql), _RETYPED.match(back)
    return there[3] if here and there and (here[1], here[2]) == (there[1], there[2]) else ""


def holds_in_place(former: str, wanted: str) -> bool:
    """Return whether PostgreSQL changes a column from one type to another without rewriting or checking a row.

    So it is where only a limit grows or goes (PostgreSQL manual, ALTER TABLE, Notes; the release notes of 9.2).
    """
    was, now = _LENGTH.match(former), _LENGTH.match(wanted)
    if was is None:
        return former == "cidr" and wanted == "inet"
    if wanted == "text" and was[1] == "character varying":
        return True
    if now is None or (was[1], was[4]) != (now[1], now[4]):
        return False
    return now[2] is None or (was[2] is not None and int(was[2]) <= int(now[2]) and was[3] == now[3])
