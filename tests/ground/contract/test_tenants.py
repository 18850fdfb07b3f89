"""The commands for tenants, used through the command line."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from infra.config.settings import Role
from tests.kit.availability import needed_psql
from tests.kit.checkout import Checkout, Done

pytestmark = pytest.mark.one_backend


@pytest.fixture
def slug() -> str:
    """Give a slug that no other test uses."""
    return f"acme-{uuid4().hex[:12]}"


def sign_up(checkout: Checkout, slug: str, *words: str) -> str:
    """Sign a tenant up and return its id."""
    done = checkout.succeed("tenants-create", "Acme & Söhne", "--slug", slug, "--json", *words)
    return str(json.loads(done.stdout)["tenant_id"])


def rows_of(checkout: Checkout, tenant: str) -> list[tuple[Any, ...]]:
    """Return what the database holds of a tenant, read by the role that sees all."""
    return checkout.query(
        Role.MAINTENANCE,
        f"SELECT 'tenant', name, slug, created_at FROM tenants WHERE tenant_id = '{tenant}' UNION ALL"
        f" SELECT 'user', email, external_id, created_at FROM users WHERE tenant_id = '{tenant}' ORDER BY 1, 3",
    )


def add_users(checkout: Checkout, tenant: str) -> None:
    """Give a tenant users, one with a name that is hard to quote."""
    checkout.query(
        Role.USER,
        f"BEGIN; SET LOCAL app.tenant_id = '{tenant}'; INSERT INTO users (tenant_id, external_id, email) VALUES"
        f" ('{tenant}', 'one', 'o''brien\\@example.com'), ('{tenant}', 'two', E'tab\\there'); COMMIT",
    )


def restore(checkout: Checkout, file: Path) -> Done:
    """Restore an exported tenant as its head says."""
    owner = checkout.url(Role.OWNER)
    return subprocess.run(
        [needed_psql(), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", str(owner), "-f", file],
        env=os.environ | {"PGPASSWORD": owner.password.reveal()},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_tenants_life(served: Checkout, slug: str, tmp_path: Path) -> None:
    """It is listed; deleting it takes its rows and no other's; the file written before brings exactly these back."""
    tenant, other = sign_up(served, slug), sign_up(served, f"{slug}-2")
    listed = {
        found["slug"]: found["tenant_id"] for found in json.loads(served.succeed("tenants-list", "--json").stdout)
    }
    assert (listed[slug], listed[f"{slug}-2"]) == (tenant, other)
    add_users(served, tenant)
    add_users(served, other)
    before, others = rows_of(served, tenant), rows_of(served, other)
    file = tmp_path / "acme.sql"
    replace(served, umask=0o022).succeed("tenants-delete", slug, "--yes", "--export", str(file))
    assert (rows_of(served, tenant), rows_of(served, other)) == ([], others)
    assert file.stat().st_mode & 0o777 == 0o600
    assert other not in file.read_text()
    done = restore(served, file)
    assert done.returncode == 0, done.stderr
    assert (rows_of(served, tenant), rows_of(served, other)) == (before, others)


def test_rows_of_a_tenant_stay_out_of_the_checkout_and_the_terminal(served: Checkout, slug: str) -> None:
    """A slug that is a path, and a name that a terminal would act on: set by the model, where no command looked."""
    tenant = sign_up(served, slug)
    path = f"../elsewhere-{slug}"
    served.query(
        Role.USER,
        f"BEGIN; SET LOCAL app.tenant_id = '{tenant}';"
        f" UPDATE tenants SET slug = '{path}', name = E'\\x1b[2Jgone\\n{{}}'; COMMIT",
    )
    listed = served.succeed("tenants-list").stdout
    assert next(line for line in listed.splitlines() if tenant in line).endswith("\\x1b[2Jgone\\n{}")
    done = served.succeed("tenants-delete", path, "--yes")
    assert "\x1b" not in listed + done.stdout + done.stderr
    assert not list(served.path.parent.glob(f"elsewhere-{slug}*"))
    [file] = (served.path / "exports").glob(f"{tenant}-*.sql")
    assert f"wrote {file}" in done.stdout
    assert (served.path / "exports").stat().st_mode & 0o777 == 0o700
    ignored = ["git", "-c", f"safe.directory={served.path}", "check-ignore", "--no-index", "-q", str(file)]
    for command in (["git", "init", "-q", "."], ignored):
        subprocess.run(command, cwd=served.path, check=True)
    shutil.rmtree(served.path / ".git")
    file.unlink()


def test_deleting_asks(served: Checkout, slug: str) -> None:
    """With nobody to ask and no `--yes` nothing is written or deleted."""
    tenant = sign_up(served, slug)
    before = sorted(served.path.iterdir())
    assert served.invoke("tenants-delete", slug).returncode == 1
    assert len(rows_of(served, tenant)) == 1
    assert sorted(served.path.iterdir()) == before
