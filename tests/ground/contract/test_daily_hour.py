"""The daily hour, with the code of the pages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.config.identity import OUR_SERVICES
from infra.config.settings import Role
from tests.kit.checkout import Checkout, copy_project
from tests.kit.pages import README, block_of, blocks, has_own_readme

pytestmark = pytest.mark.one_backend

TABLES = "schema/README.md"


def declare(checkout: Path, page: str = TABLES) -> None:
    """Paste the documented tables into a checkout."""
    declared = [block for block in blocks(page) if block.file.startswith("schema/models/")]
    assert declared
    for block in declared:
        (checkout / block.file).write_text(block.text)


def test_the_documented_tables_become_isolated_tables(checkout: Checkout) -> None:
    """The documented models, generated and migrated, are tables under forced row level security; nothing is pending."""
    declare(checkout.path)
    up = json.loads(checkout.succeed("up", "--json").stdout)
    taken = {step["target"].rpartition("-")[2] for step in up["operations"]}
    assert {*up["services"]} == {*OUR_SERVICES} == taken & {*OUR_SERVICES}
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
    index_code = block_of("schema/migration/README.md", "Indexes on large tables").text
    index_file.write_text(f'revision = "0003"\ndown_revision = "0002"\n{index_code}')
    checkout.succeed("migrate")
    index = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_users_tenant_id_role'::regclass"
    assert checkout.query(Role.OWNER, index) == [(True,)]


@pytest.mark.slow
@pytest.mark.parametrize("page", [TABLES, *([README] if has_own_readme() else [])])
def test_lint_is_content_with_the_documented_tables(page: str, tmp_path: Path) -> None:
    """Whoever pastes the documented tables as the page says has nothing to correct: neither style, types nor layers."""
    folder = copy_project(tmp_path / "shop", "tests")
    declare(folder, page)
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "lint"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documented_query_runs(checkout: Checkout) -> None:
    """The documented sign-up leaves one tenant with one user, which maintenance sees."""
    checkout.succeed("up", "migrate")
    done = subprocess.run(
        [sys.executable, "-c", block_of(TABLES, "Queries").text],
        cwd=checkout.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert checkout.query(Role.MAINTENANCE, "SELECT email FROM users JOIN tenants USING (tenant_id)") == [
        ("ada@example.com",)
    ]
