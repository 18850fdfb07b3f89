"""The ground's tests in the checkout of a product: on models of their own, whatever the product declares.

The kind: tests that take the product's tables for damage, for what they made themselves, or for all that there is.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ground.own_models import has_own_models
from tests.kit.checkout import Checkout, copy_parts
from tests.kit.pages import block_of

pytestmark = pytest.mark.one_backend

# Those that found a product's tables in their way, one of each folder and kind.
ONCE_RED = (
    "tests/ground/integration/autogenerate/test_requests.py",
    "tests/ground/integration/isolation/test_causes.py",
    "tests/ground/integration/test_ledger.py",
    "tests/ground/integration/test_rights.py",
    "tests/ground/integration/test_tables.py",
    "tests/ground/unit/test_names.py",
)


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a module of Python in a checkout."""
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def product(checkout: Checkout) -> Checkout:
    """Give the checkout of a product, with the documented invoices and shared list, and their migration."""
    copy_parts(checkout.path, "tests")
    for name, section in (("invoices", "A table"), ("currencies", "A list that all tenants share")):
        model = block_of("schema/README.md", section)
        (checkout.path / "schema" / "models" / f"{name}.py").write_text(model.text)
    checkout.succeed("generate", "-m", "add invoices and currencies")
    return checkout


def test_this_checkout_has_the_grounds_own_models() -> None:
    """They are the first tables that a product begins with, so that no copy is made here."""
    assert has_own_models()


@pytest.mark.slow
def test_a_product_leaves_the_grounds_tests_green(product: Checkout) -> None:
    """`pytest` runs the product's tests alone, on its tables; the ground's are run on models of their own."""
    assert not has_own_models(product.path)
    own = run(product.path, "pytest", "-q", "-n", "0", "-p", "no:randomly")
    assert (own.returncode, "2 passed" in own.stdout) == (0, True), own.stdout
    refused = run(product.path, "pytest", "-q", "tests/ground/unit/test_names.py")
    assert (refused.returncode, "invoke test --ground" in refused.stdout + refused.stderr) == (2, True)
    ground = run(product.path, "invoke", "test", "--ground", "--options", f"-q -n 0 {' '.join(ONCE_RED)}")
    assert (ground.returncode, " passed" in ground.stdout) == (0, True), ground.stdout
    lint = run(product.path, "invoke", "lint")
    assert lint.returncode == 0, lint.stdout + lint.stderr
