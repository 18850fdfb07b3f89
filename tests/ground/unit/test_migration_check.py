import os
import py_compile
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from infra.config.settings import CHECKOUT
from schema.migration.generate.command import findings
from schema.migration.lint.check import check_migrations

HEAD = (
    "from alembic import op\nimport sqlalchemy as sa\n"
    "from schema.migration.helpers.tenants import as_tenant, for_each_tenant, tenant_ids\n\n\ndef upgrade():\n"
)
HEAD_LINES = len(HEAD.splitlines())
REQUIRED = '    op.add_column(\n        "users", sa.Column("a", sa.Text(), nullable=False)\n    )\n'


def found(path: Path, body: str) -> list[tuple[str, int, str]]:
    """Return file, line and rule of what is wrong in a migration with this upgrade."""
    file = path / "0002_x.py"
    file.write_text(HEAD + body)
    return [
        (check_migration.file, check_migration.line, check_migration.rule)
        for check_migration in check_migrations([file], {"users"})
    ]


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (REQUIRED, "adding-required-field"),
        ('    op.create_index("ix", "users", ["a"])\n', "require-concurrent-index-creation"),
        ("    op.execute('ALTER TABLE users ALTER COLUMN a TYPE bigint')\n", "changing-column-type"),
        ('    op.drop_column("users", "a")\n', "ban-drop-column"),
        ("    op.execute('UPDATE users SET a = 1')\n", "data-statement"),
    ],
)
def test_what_is_not_safe_is_found_with_its_line(body: str, rule: str, tmp_path: Path) -> None:
    """Squawk's rules and the project's own name the line of the file, not of the SQL."""
    assert found(tmp_path, "    op.execute('SELECT 1')\n" + body) == [("0002_x.py", HEAD_LINES + 2, rule)]


def test_an_exception_carries_its_reason(tmp_path: Path) -> None:
    """A comment above the statement allows a rule, with a reason and for that statement alone."""
    allowed = "    # allow adding-required-field: the table is empty\n    # until the release\n"
    assert found(tmp_path, allowed + REQUIRED) == []
    assert found(tmp_path, allowed.replace(": the table is empty", ":") + REQUIRED) != []
    assert found(tmp_path, allowed + REQUIRED + REQUIRED) == [("0002_x.py", HEAD_LINES + 6, "adding-required-field")]


def test_what_is_new_is_safe(tmp_path: Path) -> None:
    """Nobody uses a table that the migration itself makes."""
    body = (
        '    op.create_table("t", sa.Column("a", sa.Text(), nullable=False))\n    op.create_index("ix", "t", ["a"])\n'
    )
    assert found(tmp_path, body) == []


@pytest.mark.parametrize(
    "asking",
    [
        '    op.get_bind().execute(sa.text("SELECT 1"))\n',
        '    n = op.get_bind().scalar(sa.text("SELECT 1"))\n    n + 1\n',
        '    for row in op.get_bind().execute(sa.text("SELECT 1 WHERE :x"), {"x": 1}):\n        op.execute(row.sql)\n',
        "    sa.inspect(op.get_bind()).get_columns('users')\n",
        "    for_each_tenant(op.get_bind(), 'UPDATE users SET a = :batch')\n",
        "    with as_tenant(op.get_bind(), tenant_ids(op.get_bind())[0]):\n        pass\n",
        "    while op.get_bind().execute(sa.text('SELECT 1')).rowcount:\n        pass\n",
        "    raise RuntimeError\n",
    ],
    ids=["execute", "scalar", "rows", "inspect", "for each tenant", "as tenant", "until done", "raise"],
)
def test_what_needs_a_database_is_read_past(asking: str, tmp_path: Path) -> None:
    """What stands before and behind a statement that asks a database is looked at, each under its own line."""
    lines = len(asking.splitlines())
    assert found(tmp_path, REQUIRED + asking + REQUIRED) == [
        ("0002_x.py", HEAD_LINES + 1, "adding-required-field"),
        ("0002_x.py", HEAD_LINES + 4 + lines, "adding-required-field"),
    ]


def test_what_stands_behind_a_failure_that_is_caught_is_read(tmp_path: Path) -> None:
    """A migration that expects a failure where nothing answers is looked at as a whole."""
    caught = (
        "    try:\n"
        "        op.get_bind().scalar(sa.text('SELECT 1')) + 1\n"
        "        op.drop_column('users', 'a')\n"
        "    except TypeError:\n        pass\n"
    )
    assert found(tmp_path, caught) == [("0002_x.py", HEAD_LINES + 3, "ban-drop-column")]


def test_an_edit_is_seen_that_python_takes_for_none(tmp_path: Path) -> None:
    """A file that was compiled and then edited, in the same second and to the same size, is read as it is."""
    second = 1_700_000_000 * 10**9
    file = tmp_path / "0002_x.py"
    file.write_text(HEAD + "    op.execute('ALTER TABLE users ADD COLUMN a int')\n")
    os.utime(file, ns=(second, second))
    py_compile.compile(str(file), doraise=True)
    os.utime(cache_from_source(file), ns=(second + 1, second + 1))
    edited = HEAD + "    op.execute('ALTER TABLE users DROP COLUMN a   ')\n"
    file.write_text(edited)
    os.utime(file, ns=(second + 2, second + 2))
    assert [check_migration.rule for check_migration in check_migrations([file], {"users"})] == ["ban-drop-column"]


def test_what_runs_for_tenants_is_read(tmp_path: Path) -> None:
    """One tenant stands for all: what is run as it and for it is looked at."""
    asking = (
        "    for tenant in tenant_ids(op.get_bind()):\n"
        "        with as_tenant(op.get_bind(), tenant):\n"
        "            op.get_bind().exec_driver_sql('ALTER TABLE users DROP COLUMN a')\n"
        "    for_each_tenant(op.get_bind(), 'ALTER TABLE users DROP COLUMN b')\n"
    )
    assert found(tmp_path, asking) == [
        ("0002_x.py", HEAD_LINES + 3, "ban-drop-column"),
        ("0002_x.py", HEAD_LINES + 4, "ban-drop-column"),
    ]


def test_a_loop_that_waits_for_an_answer_ends(tmp_path: Path) -> None:
    """Where nothing answers it would go on for ever: what was read until then counts."""
    body = "    while op.get_bind().scalar(sa.text('SELECT 1')) is None:\n        pass\n"
    assert found(tmp_path, REQUIRED + body) == [("0002_x.py", HEAD_LINES + 1, "adding-required-field")]


def test_the_projects_own_migrations_are_safe() -> None:
    """Nothing is wrong in what is committed, or it says why it may be."""
    assert findings(*sorted((CHECKOUT / "migrations" / "versions").glob("*.py"))) == ()
