"""The README's daily hour, with the README's own code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.config.identity import Service
from infra.config.settings import CHECKOUT, Role
from tests.kit.checkout import Checkout, copy_project

pytestmark = pytest.mark.one_backend

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def code(section: str) -> str:
    """Return the first Python block of a section of the README."""
    return re.split(r"```python\n|```", README.partition(f"### {section}\n")[2])[1]


def declare(checkout: Path) -> None:
    """Paste the README's tables into a checkout."""
    tables = {"invoices": "A table", "notes": "Policies and triggers of your own", "audit": "Rights"}
    for name, section in tables.items():
        (checkout / "schema" / "models" / f"{name}.py").write_text(code(section))


def test_the_readmes_tables_become_isolated_tables(checkout: Checkout) -> None:
    """The README's models, generated and migrated, are tables under forced row level security; nothing is pending."""
    declare(checkout.path)
    up = json.loads(checkout.succeed("up", "--json").stdout)
    assert (
        {*up["services"]} == {*Service} == {step["target"].rpartition("-")[2] for step in up["operations"]} & {*Service}
    )
    checkout.succeed("migrate")
    checkout.succeed("generate", "-m", "add invoices")
    for check in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *check, "--no-cache", "schema", "migrations"]
        done = subprocess.run(ruff, cwd=checkout.path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    assert (checkout.path / "migrations" / "versions" / "0002_add_invoices.py").exists()
    checkout.succeed("migrate")
    assert checkout.query(
        Role.OWNER,
        "SELECT relrowsecurity, relforcerowsecurity, (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid)"
        " FROM pg_class c WHERE relname IN ('invoices', 'notes') ORDER BY relname",
    ) == [(True, True, 2), (True, True, 3)]
    checkout.succeed("generate", "-m", "nothing")
    assert len(list((checkout.path / "migrations" / "versions").glob("*.py"))) == 2
    checkout.succeed("generate", "--empty", "-m", "index")
    index_file = checkout.path / "migrations" / "versions" / "0003_index.py"
    assert index_file.exists()
    index_file.write_text(f'revision = "0003"\ndown_revision = "0002"\n{code("Indexes without standing in the way")}')
    checkout.succeed("migrate")
    index = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_invoices_number'::regclass"
    assert checkout.query(Role.OWNER, index) == [(True,)]


@pytest.mark.slow
def test_lint_is_content_with_the_readmes_tables(tmp_path: Path) -> None:
    """Whoever pastes the README's tables as it says has nothing to correct: neither style, types nor layers."""
    folder = copy_project(tmp_path / "shop", "tests")
    declare(folder)
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "lint"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readmes_query_runs(checkout: Checkout) -> None:
    """The README's sign-up leaves one tenant with one user, which maintenance sees."""
    checkout.succeed("up", "migrate")
    done = subprocess.run(
        [sys.executable, "-c", code("A query")], cwd=checkout.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert checkout.query(Role.MAINTENANCE, "SELECT email FROM users JOIN tenants USING (tenant_id)") == [
        ("ada@example.com",)
    ]
