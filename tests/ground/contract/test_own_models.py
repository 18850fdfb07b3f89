"""The ground's tests in the checkout of a product: on models of their own, whatever the product declares.

The kind: tests that take what is the product's for damage, for what they made themselves, or for all that there is.
"""

import os
import subprocess
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from infra.config.settings import CHECKOUT, BackendChoice
from infra.images.base import RELEASE_ROOT
from tests.ground.own_models import ISOLATION, has_own_models
from tests.kit.checkout import Checkout, copy_parts
from tests.kit.names import give_database_name
from tests.kit.pages import block_of
from tests.kit.release import make_roots

pytestmark = pytest.mark.one_backend

# Those that found a product's tables, commands or allowed findings in their way, one of each folder and kind.
ONCE_RED = (
    "tests/ground/integration/autogenerate/test_requests.py",
    "tests/ground/integration/isolation/test_causes.py",
    "tests/ground/integration/test_ledger.py",
    "tests/ground/integration/test_rights.py",
    "tests/ground/integration/test_tables.py",
    "tests/ground/unit/test_help.py",
    "tests/ground/unit/test_names.py",
    "tests/ground/unit/test_product_commands.py",
)


VIEW = '''"""The numbers of a tenant's invoices."""

from sqlalchemy import select
from sqlalchemy.schema import CreateView

from schema import Base
from schema.models.invoices import Invoice

invoice_numbers = CreateView(
    select(Invoice.number), "invoice_numbers", metadata=Base.metadata, postgresql_with={"security_invoker": True}
)
'''
TASKS = '''"""Yours: the shop's own commands."""

from invoke.context import Context
from shop_money import rounded

from infra.commands.cli import command
from schema.models.invoices import Invoice


@command(cents="The amount.")
def show_amount(_: Context, cents: str = "0") -> None:
    """Show an amount as it is written on an invoice."""
    print(Invoice.__tablename__, rounded(int(cents)))
'''
SERVICES = '''"""Yours: the shop's servers."""

from infra.declaration.service import ServiceSpec

services = [
    ServiceSpec(
        name="files",
        ports=(8000,),
        image="groundwork/python:3.13-standin",
        command=("python3", "-m", "http.server", "{port}", "--bind", "{host}", "--directory", "{data}"),
        program=("python3", "-m", "http.server", "{port}", "--bind", "{host}", "--directory", "{data}"),
        data_path="/srv",
    ),
]
'''
TEST = '''"""Invoices, as a tenant sees them."""

from urllib.request import urlopen

import pytest
from shop_money import rounded
from sqlalchemy import Engine, text

from infra.config.identity import Service
from schema.client import tenant_session
from schema.models.invoices import Invoice
from tests.kit.database import SignUp
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend


def test_a_tenant_sees_its_own_numbers_and_the_shared_currencies(engine: Engine, sign_up: SignUp) -> None:
    """The view shows the tenant's rows alone, the list those of nobody."""
    ours, theirs = sign_up(), sign_up()
    with tenant_session(engine, ours) as session:
        session.add(Invoice(number=rounded(1299)))
    for tenant, numbers in ((ours, ["12.99"]), (theirs, [])):
        with tenant_session(engine, tenant) as session:
            assert session.scalars(text("SELECT number FROM invoice_numbers")).all() == numbers
            assert session.scalars(text("SELECT code FROM currencies")).all() == []


def test_the_stack_of_the_tests_has_the_shops_files(stack: RunningStack) -> None:
    """A server that the shop declares serves its tests as well."""
    with urlopen(f"http://127.0.0.1:{stack.ports[Service('files')]}/") as answer:
        assert answer.status == 200
'''
ALLOWED = """
[tool.groundwork.isolation.allow.tenant-column]
"SELECT ON TABLE currencies" = "every tenant reads the same list, and only migrations write it"
"""
DEPENDENCY = {
    "shop_money/__init__.py": '''"""Money."""


def rounded(cents: int) -> str:
    """Return an amount as it is written."""
    return f"{cents / 100:.2f}"
''',
    "shop_money/py.typed": "",
    "shop_money-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: shop-money\nVersion: 1.0\n",
    "shop_money-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "shop_money-1.0.dist-info/RECORD": "",
}


def run(folder: Path, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a checkout, as from a shell that knows nothing of this run of the tests."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(words, cwd=folder, env=outside | environ, capture_output=True, text=True, check=False)


def append(file: Path, text: str) -> None:
    """Add a text at the end of a file."""
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


@pytest.fixture
def product(checkout: Checkout) -> Checkout:
    """Give the checkout of a product, with the README's invoices, a shared list and a view, and their migration.

    It has a test, a command, a server and a dependency of its own, and a name for its database.
    """
    path = checkout.path
    copy_parts(path, "tests", "README.md", "LICENSE", "constraints.txt")
    sections = {"invoices": "A table", "currencies": "A list that all tenants share"}
    documented = {name: block_of("schema/README.md", section).text for name, section in sections.items()}
    for name, model in {**documented, "invoice_numbers": VIEW}.items():
        (path / "schema" / "models" / f"{name}.py").write_text(model)
    checkout.succeed("generate", "-m", "add invoices and currencies")
    [migration] = (path / "migrations" / "versions").glob("0002_*.py")
    upgrade, downgrade, taken_back = migration.read_text().partition("\n\n\ndef downgrade")
    grant = '\n    op.execute("GRANT SELECT ON currencies TO app_user")'
    migration.write_text(upgrade + grant + downgrade + taken_back)
    (path / "tests" / "product" / "test_invoices.py").write_text(TEST)
    (path / "infra" / "product" / "tasks.py").write_text(TASKS)
    (path / "infra" / "product" / "services.py").write_text(SERVICES)
    if checkout.backend is BackendChoice.DOCKER:
        make_roots(RELEASE_ROOT)
    (path / "infra" / "product" / "constraints.txt").write_text("shop-money==1.0\n")
    pyproject = (path / "pyproject.toml").read_text(encoding="utf-8")
    assert pyproject.endswith("product = []\n")
    (path / "pyproject.toml").write_text(pyproject.removesuffix("[]\n") + '["shop-money>=1"]\n' + ALLOWED)
    give_database_name(path, "shop")
    return checkout


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Give a folder with the product's dependency."""
    (folder := tmp_path / "wheels").mkdir()
    with ZipFile(folder / "shop_money-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in DEPENDENCY.items():
            wheel.writestr(name, text)
    return folder


def test_this_checkout_has_the_grounds_own_models() -> None:
    """They are the first tables that a product begins with, so that no copy is made here; so is what they may break."""
    assert has_own_models()
    ours, first = (tomllib.loads(file.read_text(encoding="utf-8")) for file in (ISOLATION, CHECKOUT / "pyproject.toml"))
    assert ours["tool"]["groundwork"]["isolation"] == first["tool"]["groundwork"]["isolation"]


@pytest.mark.slow
def test_a_product_leaves_the_grounds_tests_green(product: Checkout, wheels: Path) -> None:
    """The product's CI installs what it needs and is green: `pytest` runs its tests alone, on its tables.

    The ground's are run on models of their own.
    """
    path, python = product.path, ".venv/bin/python"
    assert not has_own_models(path)
    found = f"{wheels} {os.environ.get('PIP_FIND_LINKS', '')}"
    ci = run(path, "infra/product/ci/run", PIP_FIND_LINKS=found, STACK_BACKEND=product.backend)
    assert (ci.returncode, " passed" in ci.stdout) == (0, True), ci.stdout + ci.stderr
    command = run(path, python, "-m", "invoke", "show-amount", "--cents", "1299")
    assert (command.returncode, command.stdout) == (0, "invoices 12.99\n"), command.stderr
    refused = run(path, python, "-m", "pytest", "-q", "tests/ground/unit/test_names.py")
    assert (refused.returncode, "invoke test --ground" in refused.stdout + refused.stderr) == (2, True)
    ground = run(path, python, "-m", "invoke", "test", "--ground", "--options", f"-q -n 0 {' '.join(ONCE_RED)}")
    assert (ground.returncode, " passed" in ground.stdout) == (0, True), ground.stdout + ground.stderr
