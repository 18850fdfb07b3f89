"""When "nothing to do" may be said without asking Alembic."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from schema.migration.apply.nothing_to_do import head_if_unchanged
from tests.ground.integration.conftest import HEAD, Scratch
from tests.kit.checkout import Checkout

pytestmark = pytest.mark.one_backend

HEAVY = ("alembic", "sqlalchemy", "schema.models")


def seen(scratch: Scratch) -> str | None:
    """Return the head where nothing has changed."""
    return head_if_unchanged(scratch.url, scratch.settings, scratch.checkout)


def test_a_second_run_needs_nothing_heavy(commands: Checkout, scratch: Scratch) -> None:
    """After a run that went well, `migrate` says that there is nothing to do without Alembic, SQLAlchemy or a model."""
    scratch.upgrade()
    code = (
        "import sys\nfrom invoke.main import program\ntry: program.run(['invoke', 'migrate'])\n"
        f"except SystemExit: pass\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=commands.path,
        env=commands._environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [f"nothing to do: at {HEAD}", "[]"]


def _edit(name: str) -> Callable[[Scratch], object]:
    def edit(scratch: Scratch) -> None:
        path = scratch.checkout / name
        path.write_text(f"{path.read_text()}\n# another\n")

    return edit


def _sql(*statements: str) -> Callable[[Scratch], object]:
    return lambda scratch: [scratch.connection.execute(statement.encode()) for statement in statements]


def _rename(scratch: Scratch) -> None:
    for path in (scratch.checkout / "migrations" / "versions").glob("9999*"):
        path.rename(path.with_name("9999_renamed.py"))


@pytest.mark.parametrize(
    "change",
    [
        lambda scratch: scratch.write("pass", number=99999, follows="9999"),
        _edit("migrations/versions/9999_by_hand.py"),
        _rename,
        lambda scratch: (scratch.checkout / "migrations/versions/9999_by_hand.py").unlink(),
        _edit("migrations/env.py"),
        _edit("pyproject.toml"),
        lambda scratch: scratch.rollback(),
        _sql(f"UPDATE app.alembic_version SET version_num = '{HEAD}'"),
        _sql(f"INSERT INTO app.alembic_version VALUES ('{HEAD}')"),
        _sql("DELETE FROM app.alembic_version"),
        _sql("DELETE FROM app.migration_ledger"),
        _sql("DROP TABLE app.migration_ledger"),
        _sql("DROP TABLE app.alembic_version"),
    ],
    ids=[
        "a new file", "an edited file", "a renamed file", "a removed file", "env.py", "pyproject.toml", "a rollback",
        "another version", "two versions", "no version", "an empty ledger", "no ledger", "no version table",
    ],
)  # fmt: skip
def test_whatever_changed_is_left_to_alembic(scratch: Scratch, change: Callable[[Scratch], object]) -> None:
    """Other files, other rows or no rows are never answered with "nothing to do" from memory."""
    scratch.write("pass")
    assert seen(scratch) is None
    scratch.upgrade()
    assert seen(scratch) == "9999"
    change(scratch)
    assert seen(scratch) is None


def test_what_was_changed_back_needs_no_alembic(scratch: Scratch) -> None:
    """An edit that is refused leaves no trace: with the file as it was, nothing has changed."""
    path = scratch.write("pass")
    scratch.upgrade()
    text = path.read_text()
    path.write_text(f"{text}# edited\n")
    assert seen(scratch) is None
    path.write_text(text)
    assert seen(scratch) == "9999"
