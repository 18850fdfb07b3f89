"""Whole runs of pytest on the tests of a small product, in a copy of the checkout."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from infra.config.identity import Project, state_directory
from infra.config.settings import BackendChoice
from tests.ground.own_models import copy_with_own_models
from tests.kit.availability import needs
from tests.kit.world import things_of

pytestmark = pytest.mark.slow

_ASYNCIO = ("-o", "asyncio_default_fixture_loop_scope=function") if find_spec("pytest_asyncio") else ()
USES = "from sqlalchemy import text\nfrom schema.client import tenant_connection, tenant_session as opened\n"
FAILS = f"""{USES}
def test_fails(database, tenant):
    with tenant_connection(database.engine, tenant) as connection:
        connection.execute(text("UPDATE tenants SET name = 'seen later'"))
    assert False
"""


@dataclass(frozen=True, slots=True)
class Product:
    """A product's checkout, whose own tests are run in it."""

    folder: Path

    @property
    def project(self) -> Project:
        """Whose stack its tests run on."""
        return Project.of(self.folder, "test")

    def write(self, name: str, text: str) -> None:
        """Write a file of its tests."""
        (self.folder / "tests" / "product" / name).write_text(text, encoding="utf-8")

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run its tests to their end."""
        words = ("--backend", "embedded", "-p", "no:cacheprovider", *(options or ("-n", "0")), "tests/product")
        environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        command = (sys.executable, "-m", "pytest", "-q", *words)
        return subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def product(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Product]:
    """Give a product with no tests yet; nothing of it is left afterwards."""
    needs(BackendChoice.EMBEDDED, request.config)
    folder = tmp_path / "product"
    copy_with_own_models(folder)
    for file in (folder / "tests" / "product").glob("test_*.py"):
        file.unlink()
    made = Product(folder)
    yield made
    made.write("test_last.py", "def test_nothing(): pass\n")
    made.run()
    left = things_of(made.project, BackendChoice.EMBEDDED)
    for state in state_directory(made.project).parent.glob(f"{made.project.id.removesuffix('-test')}*"):
        shutil.rmtree(state)
    assert left == []


def test_a_failed_tests_database_stays_until_the_next_run(product: Product) -> None:
    """The report says how psql gets there, the rows are there, and the next run removes the server with all of it."""
    product.write("test_fails.py", FAILS)
    done = product.run()
    assert done.returncode == 1, done.stdout
    [line] = re.findall(r"PGPASSFILE=(\S+) psql -h (\S+) -p (\d+) -U (\S+) (\S+)", done.stdout)
    passwords, host, port, user, name = line
    with psycopg.connect(host=host, port=port, user=user, dbname=name, passfile=passwords) as connection:
        connection.execute("SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-00000000000a', true)")
        assert connection.execute("SELECT name FROM tenants").fetchall() == [("seen later",)]
    product.write("test_fails.py", "def test_passes(): pass\n")
    assert product.run().returncode == 0
    assert things_of(product.project, BackendChoice.EMBEDDED) == []


def test_no_more_databases_stay_than_are_wanted(product: Product) -> None:
    """With none wanted nothing stays, the stack neither."""
    product.write("test_fails.py", FAILS)
    done = product.run("-n", "0", "--keep-failed=0")
    assert (done.returncode, "psql" in done.stdout) == (1, False)
    assert things_of(product.project, BackendChoice.EMBEDDED) == []


def test_a_test_that_commits_by_itself_fails_and_disturbs_no_other(product: Product) -> None:
    """Its end fails, and the tests after it find the rows that they expect."""
    product.write(
        "test_commits.py",
        f"""{USES}
def test_1_commits(db, tenant):
    with tenant_connection(db, tenant) as connection:
        connection.execute(text("UPDATE tenants SET name = 'changed'; COMMIT; BEGIN"))

def test_2_finds_nothing_of_it(db, tenant):
    with tenant_connection(db, tenant) as connection:
        assert connection.scalar(text("SELECT name FROM tenants")) == "Acme"
""",
    )
    done = product.run("-n", "0", "-p", "no:randomly")
    assert done.returncode == 1
    assert "OneConnectionError" in done.stdout
    assert "FAILED tests/product/test_commits.py::test_2" not in done.stdout, done.stdout


def test_a_product_is_as_strict_as_it_wants(product: Product) -> None:
    """A warning and a marker that nobody declared fail none of its tests."""
    product.write(
        "test_lax.py",
        "import warnings\nimport pytest\n\n\n@pytest.mark.of_mine\ndef test_warns():\n    warnings.warn('old')\n",
    )
    done = product.run()
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("plugin", ["anyio", "pytest_asyncio"])
def test_both_plugins_for_asyncio_work(plugin: str, product: Product) -> None:
    """Each test has an event loop of its own, the session and the engine serve both, and nothing warns."""
    if find_spec(plugin) is None:
        pytest.skip(f"{plugin} is not installed")
    marker = "anyio" if plugin == "anyio" else "asyncio"
    test = f"""
@pytest.mark.{marker}
async def test_{{n}}(async_tenant_session, async_db, async_as_nobody, tenant, make):
    user = make(User, email="ada")
    make.session.commit()
    async with opened(async_db, tenant) as session:
        assert (await session.scalars(select(User.email))).all() == ["ada"]
    assert (await async_tenant_session.scalars(select(User.email))).all() == ["ada"]
    await async_tenant_session.commit()
    async with async_as_nobody as connection:
        assert await connection.scalar(text("SELECT 1")) == 1

@pytest.mark.{marker}
async def test_{{n}}_database(database, tenant):
    async with opened(database.async_engine, tenant) as session:
        session.add(User(external_id="eve", email="eve"))
"""
    product.write(
        "test_async.py",
        "import pytest\nfrom sqlalchemy import select, text\nfrom schema.client.aio import tenant_session as opened\n"
        "from schema.models.users import User\n\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
        + test.format(n=1)
        + test.format(n=2),
    )
    done = product.run("-n", "0", *_ASYNCIO, "-o", "filterwarnings=error")
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_a_killed_worker_is_replaced_and_the_next_run_passes(product: Product) -> None:
    """Its stack, with the databases on it, is removed by the next run."""
    product.write("test_passes.py", f"{USES}\ndef test_passes(database, tenant_session): pass\n")
    product.write("test_dies.py", f"import os\n\ndef test_dies(database): os.kill(os.getpid(), {signal.SIGKILL})\n")
    killed = product.run("-n", "2")
    assert "worker 'gw" in killed.stdout, killed.stdout
    (product.folder / "tests" / "product" / "test_dies.py").unlink()
    assert product.run("-n", "2").returncode == 0
    for worker in ("gw0", "gw1"):
        assert things_of(Project.of(product.folder, f"test{worker}"), BackendChoice.EMBEDDED) == []
