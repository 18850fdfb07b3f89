"""What a migration's source does to tenants' data without saying for whom."""

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

# What changes rows, wherever it stands in a statement: after a WITH, in a DO block. The table may have a schema.
_CHANGE = re.compile(
    r'\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?)\s+(?:ONLY\s+)?(?:"?public"?\.)?'
    r'(?:"((?:[^"]|"")+)"|(\w+))',
    re.IGNORECASE,
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
# What is defined is not run: a function's body, a trigger's events.
_DEFINITION = re.compile(r"\s*(CREATE|ALTER|DROP|COMMENT|GRANT|REVOKE)\b", re.IGNORECASE)
_TABLE_MAKERS = {"table", "Table"}
_TABLE_MADE = re.compile(r"\b[tT]able\s*\(")
_RUNS = {"execute", "exec_driver_sql", "scalar", "bulk_insert"}
_RUN = re.compile("|".join(_RUNS))
_CHANGES = {"insert", "update", "delete"}


@dataclass(frozen=True, slots=True)
class DataStatement:
    """A statement that would silently touch no tenant's row, with the line of the file that it begins on."""

    line: int
    table: str

    @property
    def message(self) -> str:
        """What is wrong, and what to write instead."""
        return (
            f"line {self.line}: a data statement on tenant table {self.table!r} names no tenant, so it touches no row. "
            "Run it through for_each_tenant, or inside as_tenant (schema.migration.helpers.tenants)."
        )


def silent_data_statements(source: str, tenant_tables: Collection[str]) -> tuple[DataStatement, ...]:
    """Return the data statements on tenant tables in a migration's source that no tenant is named for.

    It reads text: SQL in string literals and f-strings, `op.bulk_insert`, and SQLAlchemy's insert, update and delete of
    a `table(…)` of the file. What is put together elsewhere is not seen.

    Raises:
        SyntaxError: the source is not Python.
    """
    module = ast.parse(source)
    tables = dict(_assigned_tables(module)) if _TABLE_MADE.search(source) else {}
    found = {
        DataStatement(call.lineno, table)
        for call in _calls_without_tenant(module, re.split(r"\r\n?|\n", source))
        for table in _changed_tables(call, tables)
        if table in tenant_tables
    }
    return tuple(sorted(found, key=lambda statement: (statement.line, statement.table)))


def _calls_without_tenant(node: ast.AST, lines: list[str]) -> Iterator[ast.Call]:
    for child in ast.iter_child_nodes(node):
        # Most statements of a migration run nothing, and none is taken apart whose text does not name what would.
        if isinstance(child, ast.stmt) and not any(map(_RUN.search, lines[child.lineno - 1 : child.end_lineno])):
            continue
        if isinstance(child, ast.With) and any(_name(item.context_expr) == "as_tenant" for item in child.items):
            continue
        if isinstance(child, ast.Call) and _name(child) in _RUNS:
            yield child
        yield from _calls_without_tenant(child, lines)


def _changed_tables(call: ast.Call, tables: dict[str, str]) -> Iterator[str]:
    if _name(call) == "bulk_insert":
        yield from (table for argument in call.args[:1] if (table := _table(argument, tables)))
        return
    for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
        for text in _texts(argument):
            yield from _in_sql(text)
        yield from _in_expression(argument, tables)


def _in_sql(text: str) -> Iterator[str]:
    for statement in _COMMENT.sub(" ", text).split(";\n"):
        if not _DEFINITION.match(statement):
            yield from (quoted.replace('""', '"') or bare.lower() for quoted, bare in _CHANGE.findall(statement))


def _in_expression(argument: ast.AST, tables: dict[str, str]) -> Iterator[str]:
    for node in ast.walk(argument):
        if isinstance(node, ast.Call) and _name(node) in _CHANGES:
            candidates = [*node.args[:1], *([node.func.value] if isinstance(node.func, ast.Attribute) else [])]
            yield from (table for candidate in candidates if (table := _table(candidate, tables)))


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        yield "".join(part.value if _is_text(part) else "" for part in node.values)  # type: ignore[attr-defined]
    elif _is_text(node):
        yield node.value  # type: ignore[attr-defined]  # a constant has one
    else:
        for child in ast.iter_child_nodes(node):
            yield from _texts(child)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _assigned_tables(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and (table := _table(node.value, {})):
            yield from ((target.id, table) for target in node.targets if isinstance(target, ast.Name))


def _table(node: ast.AST, tables: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return tables.get(node.id)
    if isinstance(node, ast.Call) and _name(node) in _TABLE_MAKERS and node.args:
        return next(_texts(node.args[0]), None)
    return None


def _name(node: ast.AST) -> str | None:
    """Return the last name of what is called: `execute` of `op.execute(…)`."""
    if not isinstance(node, ast.Call):
        return None
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
