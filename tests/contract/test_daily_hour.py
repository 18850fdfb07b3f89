"""The README's daily hour, with the README's own code."""

import re
import subprocess
import sys

import pytest

from infra.settings import CHECKOUT, Role
from tests.fixtures.checkout import Checkout

pytestmark = pytest.mark.one_backend

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def code(section: str) -> str:
    """Return the first Python block of a section of the README."""
    return re.split(r"```python\n|```", README.partition(f"### {section}\n")[2])[1]


def test_the_readmes_tables_become_isolated_tables(checkout: Checkout) -> None:
    """The README's models, generated and migrated, are tables under forced row level security; nothing is pending."""
    (checkout.path / "schema" / "invoices.py").write_text(code("A table"))
    (checkout.path / "schema" / "notes.py").write_text(code("Policies and triggers of your own"))
    with (checkout.path / "schema" / "models.py").open("a") as models:
        models.write("\nfrom schema.invoices import Invoice  # noqa\nfrom schema.notes import Note  # noqa\n")
    checkout.succeed("up", "migrate")
    checkout.succeed("generate", "-m", "add invoices")
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
