from pathlib import Path

import pytest

from infra.settings import CHECKOUT
from schema.migrate import findings
from schema.migration_check import check_migrations

HEAD = "from alembic import op\nimport sqlalchemy as sa\n\n\ndef upgrade():\n"
REQUIRED = '    op.add_column(\n        "users", sa.Column("a", sa.Text(), nullable=False)\n    )\n'


def found(path: Path, body: str) -> list[tuple[str, int, str]]:
    """Return file, line and rule of what is amiss in a migration with this upgrade."""
    file = path / "0002_x.py"
    file.write_text(HEAD + body)
    return [(one.file, one.line, one.rule) for one in check_migrations([file], {"users"})]


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
    assert found(tmp_path, "    op.execute('SELECT 1')\n" + body) == [("0002_x.py", 7, rule)]


def test_an_exception_carries_its_reason(tmp_path: Path) -> None:
    """A comment above the statement allows a rule, with a reason and for that statement alone."""
    allowed = "    # allow adding-required-field: the table is empty\n    # until the release\n"
    assert found(tmp_path, allowed + REQUIRED) == []
    assert found(tmp_path, allowed.replace(": the table is empty", ":") + REQUIRED) != []
    assert found(tmp_path, allowed + REQUIRED + REQUIRED) == [("0002_x.py", 11, "adding-required-field")]


def test_what_is_new_is_safe(tmp_path: Path) -> None:
    """Nobody uses a table that the migration itself makes."""
    body = (
        '    op.create_table("t", sa.Column("a", sa.Text(), nullable=False))\n    op.create_index("ix", "t", ["a"])\n'
    )
    assert found(tmp_path, body) == []


def test_what_needs_a_database_ends_the_reading_only(tmp_path: Path) -> None:
    """What comes before a statement that cannot be written without a database is looked at."""
    body = REQUIRED + '    op.get_bind().execute(sa.text("SELECT 1"))\n'
    assert found(tmp_path, body) == [("0002_x.py", 6, "adding-required-field")]


def test_the_projects_own_migrations_are_safe() -> None:
    """Nothing is amiss in what is committed, or it says why it may be."""
    assert findings(*sorted((CHECKOUT / "migrations" / "versions").glob("*.py"))) == ()
