"""Whether migrations are safe to run on a database that others use: squawk on their SQL, and rules for tenants' data.

An exception stands above the statement, with its reason:

    # allow adding-required-field: the table is empty until the release
    op.add_column("users", sa.Column("nickname", sa.Text(), nullable=False))
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from schema.migration.lint.data_statements import silent_data_statements
from schema.migration.lint.sql import numbered, upgrade_sql

DATA_STATEMENT = "data-statement"
"""The project's own rule; squawk's are at squawkhq.com/docs/rules."""

_POSTGRES = "16.0"
_LEFT_OUT = (
    "require-lock-timeout",  # whoever applies migrations sets it for the session
    "require-statement-timeout",  # a migration may take as long as it needs
    "prefer-bigint-over-int",  # what a column holds is the model's business, and so for the next five
    "prefer-bigint-over-smallint",
    "prefer-identity",
    "prefer-text-field",
    "prefer-timestamptz",
    "ban-drop-view",  # it is made again in the same transaction
    "renaming-object",  # what constraints and indexes are called is nobody else's business
    "prefer-robust-stmts",  # a migration is one transaction, so none is half done
)
_ALLOWED = re.compile(r"#\s*allow ([a-z-]+)\s*:\s*(\S.*)")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """What is wrong in a migration: file, line, rule, and in words."""

    file: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.message}"


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """All findings of one kind in one file."""

    file: str
    lines: tuple[int, ...]
    rule: str
    message: str

    @property
    def place(self) -> str:
        """The file with the lines."""
        return f"{self.file}:{','.join(map(str, self.lines))}"

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}: {self.message}"


def by_kind(findings: Iterable[Finding]) -> list[Kind]:
    """Return one for each kind and file, in the order of the first lines."""
    lines: dict[tuple[str, str, str], list[int]] = {}
    for found in findings:
        lines.setdefault((found.file, found.rule, found.message), []).append(found.line)
    return sorted(Kind(file, tuple(sorted({*at})), rule, message) for (file, rule, message), at in lines.items())


def check_migrations(paths: Iterable[Path], tenant_tables: Collection[str]) -> tuple[Finding, ...]:
    """Return what is wrong in migrations and not allowed there with a reason; squawk only where it is installed."""
    found = (finding for path in paths for finding in _findings(path, tenant_tables))
    return tuple(sorted(set(found)))


def _findings(path: Path, tenant_tables: Collection[str]) -> Iterator[Finding]:
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    silent = silent_data_statements(source, tenant_tables)
    own = ((statement.line, DATA_STATEMENT, statement.message.partition(": ")[2]) for statement in silent)
    for line, rule, message in (*own, *_squawk(path)):
        if rule not in _allowed_rules(lines, line):
            yield Finding(path.name, line, rule, message)


def _allowed_rules(lines: list[str], line: int) -> set[str]:
    """Return the rules that the comments directly above a line allow, or one at its end."""
    found, above = {match[1] for match in _ALLOWED.finditer(lines[line - 1])}, line - 2
    while above >= 0 and lines[above].lstrip().startswith("#"):
        found |= {match[1] for match in _ALLOWED.finditer(lines[above])}
        above -= 1
    return found


def _squawk(path: Path) -> Iterator[tuple[int, str, str]]:
    program = shutil.which("squawk", path=str(Path(sys.executable).parent)) or shutil.which("squawk")
    statements = upgrade_sql(path)
    if program is None or not statements:
        return
    lines = list(numbered(statements))
    with tempfile.NamedTemporaryFile("w", suffix=".sql", encoding="utf-8") as file:
        file.write("\n".join(statement.sql for statement in statements))
        file.flush()
        options = [f"--pg-version={_POSTGRES}", "--assume-in-transaction", f"--exclude={','.join(_LEFT_OUT)}"]
        answer = subprocess.run(
            [program, "--reporter=json", *options, file.name], capture_output=True, text=True, check=False
        )
    for report in json.loads(answer.stdout or "[]"):
        yield lines[min(report["line"], len(lines) - 1)], report["rule_name"], _sentence(report)


def _sentence(found: dict[str, str]) -> str:
    return " ".join(" ".join(filter(None, (found["message"], found.get("help")))).split())
