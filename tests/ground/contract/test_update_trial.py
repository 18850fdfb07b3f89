"""`invoke update` tries what it brings in a copy, and a trial that fails or is interrupted changes nothing."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.config.identity import Project, state_directory
from infra.config.settings import BackendChoice
from tests.kit.checkout import copy_parts
from tests.kit.repositories import ALL_STEPS, NO_STEPS, SECOND, Clone, Repository, record, take, update_folder
from tests.kit.world import things_of

MIXIN = "schema/tenancy/mixin.py"
ONLY_LINT = tuple(word for step in ("generate", "check", "tests") for word in ("--skip", step))


BROKEN = "import sys\n\nif 'lint' in sys.argv:\n    sys.exit('the linter says no')\n"


@pytest.mark.slow
def test_a_step_that_fails_changes_nothing(ground: Repository, product: Repository) -> None:
    """Its last lines are shown, and the option that takes the update as it is; that takes it."""
    ground.write("tasks.py", f"{ground.read('tasks.py')}\n{BROKEN}")
    ground.release(SECOND)
    before = product.state()
    done = product.invoke("update", *ONLY_LINT, "--yes", "--json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["applied"], result["steps"][0]["passed"]) == (1, False, False)
    assert result["steps"][0]["output"] == "the linter says no"
    assert "--skip lint" in done.stderr
    assert product.state() == before
    product.succeed("update", *ONLY_LINT, "--skip", "lint", "--yes")
    assert record(product)["ground"] == SECOND


WAITING = """
import os, sys
from threading import Event

if "lint" in sys.argv:
    print(os.getpid(), file=open({!r}, "w"), flush=True)
    Event().wait()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGTERM in the background", "SIGKILL"])
@pytest.mark.slow
def test_an_interrupted_update_leaves_the_checkout_as_it_was(
    ground: Repository, product: Repository, tmp_path: Path, name: str
) -> None:
    """Stopped while a step runs, it ends that and removes its working tree; after SIGKILL the next one does."""
    fifo = tmp_path / "begun"
    os.mkfifo(fifo)
    ground.write("tasks.py", f"{ground.read('tasks.py')}\n{WAITING.format(str(fifo))}")
    ground.release(SECOND)
    before = product.state()
    with product.start("update", *ONLY_LINT, "--yes", background="background" in name) as update:
        step = int(fifo.read_text())
        update.send_signal(signal.Signals[name.partition(" ")[0]])
        try:
            assert update.wait(timeout=120) != 0
        except subprocess.TimeoutExpired:
            os.kill(step, signal.SIGKILL)  # else this test would wait as well
            raise
    if name == "SIGKILL":
        assert update_folder(product.path).exists()
        os.kill(step, signal.SIGKILL)
        product.succeed("update", *NO_STEPS, "--plan")
    else:
        with pytest.raises(ProcessLookupError):
            os.kill(step, 0)
    assert product.state() == before
    take(product)


@pytest.mark.slow
def test_a_commit_made_meanwhile_is_not_lost(ground: Repository, product: Repository, tmp_path: Path) -> None:
    """Who commits while the steps run keeps that; the update is not taken."""
    fifo = tmp_path / "begun"
    os.mkfifo(fifo)
    go_on = WAITING.format(str(fifo)).replace("Event().wait()", f"sys.exit(open({str(fifo)!r}).read() != 'go on')")
    ground.write("tasks.py", f"{ground.read('tasks.py')}\n{go_on}")
    ground.release(SECOND)
    with product.start("update", *ONLY_LINT, "--yes") as update:
        fifo.read_text()
        product.write("mine.txt", "mine\n")
        head = product.commit("meanwhile")
        fifo.write_text("go on")
        _, said = update.communicate()
    assert (update.returncode, "Somebody committed" in said) == (1, True)
    assert (product.head, product.git("status", "--porcelain")) == (head, "")


REPORTING = """
import json, os, sys

if "lint" in sys.argv:
    json.dump({{"prefix": sys.prefix, "folder": os.getcwd(), **os.environ}}, open({!r}, "w"))
    sys.exit()
"""


def _report_of_a_step(ground: Repository, product: Repository, *words: str, **environ: str) -> dict[str, str]:
    """Release a version that writes down what a step sees, take it, and return that."""
    report = product.path.parent / "seen"
    ground.write("tasks.py", f"{ground.read('tasks.py')}\n{REPORTING.format(str(report))}")
    ground.release(SECOND)
    done = product.invoke("update", *ONLY_LINT, "--yes", *words, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    seen: dict[str, str] = json.loads(report.read_text())
    return seen | {"said": done.stdout}


@pytest.mark.slow
def test_steps_reach_no_database_of_the_users(ground: Repository, product: Repository) -> None:
    """What names a database or holds a password stays outside; how servers are run here is passed on."""
    product.write(".env", "STACK_BACKEND=embedded\nPOSTGRES_IMAGE=ours:16\nPOSTGRES_PORT=5555\nREDIS_PASSWORD=s3cret\n")
    secret = {
        "DATABASE_URL": "postgresql://app_user:s3cret@db/app",
        "DATABASE_OWNER_URL": "postgresql://o:s3cret@db/app",
    }
    seen = _report_of_a_step(ground, product, **secret, PYTHONSAFEPATH="", REDIS_IMAGE="theirs:7")
    kept = {"STACK_BACKEND": "embedded", "POSTGRES_IMAGE": "ours:16", "REDIS_IMAGE": "theirs:7"}
    assert seen.items() >= kept.items()
    assert not {"DATABASE_URL", "DATABASE_OWNER_URL", "POSTGRES_PORT", "REDIS_PASSWORD", "GIT_DIR"} & seen.keys()
    assert (seen["folder"], seen["prefix"]) == (str(update_folder(product.path)), sys.prefix)


@pytest.mark.slow
def test_changed_dependencies_are_installed_for_the_steps(ground: Repository, product: Repository) -> None:
    """The steps run in an environment of the copy's own, and the line that brings the user's up to date is shown."""
    ground.replace("pyproject.toml", '    "celery>=5.4,<6",\n', "")
    seen = _report_of_a_step(ground, product)
    assert seen["prefix"] == str(update_folder(product.path) / ".venv")
    assert "-c infra/product/constraints.txt -e '.[dev,product]'" in seen["said"]


COLUMN = """        server_default=func.now(), server_onupdate=FetchedValue(), sort_order=-1
    )
"""
INVOICES = '''"""Invoices."""

from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from schema import Base, TenantMixin, new_id


class Invoice(TenantMixin, Base):
    """A bill."""

    __tablename__ = "invoices"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
'''


@pytest.mark.slow
def test_a_column_of_the_mixin_becomes_a_migration_of_the_products(ground: Repository, clone: Clone) -> None:
    """All steps pass with the product's table and its migrations, and the one that was written needs no other."""
    copy_parts(ground.path, "tests", "LICENSE")
    ground.commit("with tests")
    shop = clone("shop")
    shop.succeed("init", "shop")
    shop.write("schema/models/invoices.py", INVOICES)
    shop.succeed("generate", "--message", "add invoices")
    shop.commit("invoices")
    ground.replace(MIXIN, COLUMN, f"{COLUMN}    note: Mapped[str | None] = mapped_column(sort_order=-1)\n")
    ground.release(SECOND)
    done = json.loads(shop.succeed("update", "--yes", "--json").stdout)
    assert [(step["step"], step["passed"]) for step in done["steps"]] == [(step, True) for step in ALL_STEPS]
    (migration,) = done["migrations"]
    assert migration.startswith("migrations/versions/0003_")
    added = re.findall(r"op\.add_column\(\"(\w+)\", sa\.Column\(\"note\"", shop.read(migration))
    assert added == ["invoices", "tenant_features", "tenants", "users"]
    assert shop.git("show", "--name-only", "--format=", "HEAD").split() == [migration, "pyproject.toml", MIXIN]
    assert shop.invoke("generate", "--check").returncode == 0
    for project in (Project.of(shop.path), Project.of(update_folder(shop.path)), Project.of(shop.path, "update")):
        assert things_of(project, BackendChoice.EMBEDDED) == []
        assert not (state_directory(project) / "state.json").exists()
