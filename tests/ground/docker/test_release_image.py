"""The release image: built as its page says, and run as it is meant to run, against a server with TLS."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.config.settings import CHECKOUT
from infra.config.urls import DatabaseUrl
from tests.kit import pages
from tests.kit.release import BAIT, PAGE, Release, build
from tests.kit.world import engine

pytestmark = pytest.mark.slow

APPLIED = "SELECT string_agg(concat(revision, sha256, applied_at), ',' ORDER BY revision) FROM app.migration_ledger"
TABLES = """
    SELECT string_agg(concat(oid, relname), ',' ORDER BY oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""
NAMES = """
    SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class
    WHERE relnamespace::regnamespace::text IN ('app', 'public')
"""
MIGRATION = """
revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None
from alembic import op


def upgrade() -> None:
    op.execute("CREATE VIEW half AS SELECT 1")
    op.execute("SELECT 1 / {divisor}")


def downgrade() -> None:
    op.execute("DROP VIEW half")
"""
QUERY = """
import os
from infra.config.endpoints import database_url
from infra.config.settings import Role, Settings
from schema.client.connection import connect

settings = Settings.load()
with connect(database_url(settings, Role.USER), settings) as connection:
    (found,) = connection.execute(
        "SELECT concat_ws(' ', current_user, ssl) FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    ).fetchone()
print(found, os.getuid())
"""


@pytest.fixture
def migrated(release: Release) -> Release:
    """Give the release after its job."""
    done = release.run("invoke", "migrate", "check")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return release


def migration(folder: Path, *, divisor: int) -> str:
    """Write a second migration and return how it is mounted: dividing by 0 it fails in its second statement."""
    path = folder / "0002_half.py"
    path.write_text(MIGRATION.format(divisor=divisor))
    path.chmod(0o644)
    return f"{path}:/app/migrations/versions/{path.name}"


def layers_of(image: str) -> Iterator[tuple[str, tarfile.TarInfo, bytes]]:
    """Yield every file of an image's layers with its content, and its configuration and history as files."""
    with engine() as client:
        saved = b"".join(client.get_image(image))
    for member, content in files_in(saved):
        if member.name.endswith("layer.tar"):
            yield from ((member.name, *each) for each in files_in(content))
        else:
            yield "", member, content


def files_in(archive: bytes) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Yield what an archive holds, each with its content."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for member in opened:
            content = opened.extractfile(member) if member.isfile() else None
            yield member, content.read() if content else b""


def files_of(image: str) -> dict[str, Any]:
    """Return what a build has put into an image: each file with mode, owner, link and content, and its time.

    The former builder gives the folders into which it copies the time of the build.
    """
    made = {"opt", "opt/venv", "app"}
    return {
        file.name: (file.mode, file.uid, file.gid, file.linkname, hashlib.sha256(content).hexdigest())
        + (() if file.name in made else (file.mtime,))
        for layer, file, content in layers_of(image)
        if layer and file.name.startswith(("app", "opt"))
    }


def test_the_job_migrates_checks_and_changes_nothing_the_second_time(migrated: Release) -> None:
    """Read-only, without capabilities and as a user without a name, the default command ends with 0, twice."""
    before = migrated.ask(APPLIED), migrated.ask(TABLES)
    again = migrated.run()
    assert again.returncode == 0, again.stderr
    assert "tenants" in before[1]
    assert (migrated.ask(APPLIED), migrated.ask(TABLES)) == before


def test_a_command_of_the_application_runs_as_its_role_over_tls(migrated: Release) -> None:
    """Any command of the product runs in the image, and reaches its database as the application, encrypted."""
    done = migrated.run("python", "-c", QUERY)
    assert (done.stdout, done.returncode) == ("app_user t 10001\n", 0), done.stderr
    assert migrated.run("invoke", "ready").returncode == 0


def test_a_server_that_does_not_prove_its_name_is_refused(migrated: Release) -> None:
    """Reached by an address that its certificate does not have, the server gets no password."""
    words = ("docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    address = subprocess.run((*words, f"{migrated.network}-db"), capture_output=True, text=True, check=True).stdout
    url = migrated.secrets / "elsewhere"
    url.write_text((migrated.secrets / "database_url").read_text().replace("@db:", f"@{address.strip()}:"))
    done = migrated.run("invoke", "ready", DATABASE_URL_FILE="/run/secrets/elsewhere")
    assert done.returncode == 4
    assert "certificate" in done.stderr
    assert BAIT not in done.stdout + done.stderr


def test_a_role_that_is_not_bound_is_not_ready(migrated: Release) -> None:
    """A health check does not let the owner serve as the application."""
    done = migrated.run("invoke", "ready", DATABASE_URL_FILE="/run/secrets/database_owner_url")
    assert done.returncode == 6


def test_a_migration_that_fails_ends_the_job(migrated: Release, tmp_path: Path) -> None:
    """The exit code says so, nothing of the migration stays, and `check` is not run after it."""
    before = migrated.ask(APPLIED), migrated.ask(TABLES)
    done = migrated.run(mounts=[migration(tmp_path, divisor=0)])
    assert done.returncode == 5
    assert "division by zero" in done.stderr
    assert "rules" not in done.stdout
    assert (migrated.ask(APPLIED), migrated.ask(TABLES)) == before


def test_a_release_is_taken_back_as_the_page_says(migrated: Release, tmp_path: Path) -> None:
    """The former image serves the new database and does not migrate it; the new one takes its migration back."""
    before, mounts = migrated.ask(TABLES), [migration(tmp_path, divisor=1)]
    assert migrated.run("invoke", "migrate", mounts=mounts).returncode == 0
    assert "half" in migrated.ask(TABLES)
    assert migrated.run("invoke", "ready").returncode == 0
    assert migrated.run("invoke", "migrate").returncode == 5
    back = migrated.run("invoke", "rollback", "--steps", "1", "--confirm-database", "app", mounts=mounts)
    assert back.returncode == 0, back.stderr
    assert migrated.ask(TABLES) == before


def test_the_commands_of_the_page_run(migrated: Release, tmp_path: Path) -> None:
    """Each `docker run` of the page ends with 0, in the page's order, but for the one that takes a release back.

    There is nothing to take back but the first migration, which other tests need, as they need the former password.
    """
    shutil.copytree(migrated.secrets, tmp_path / "secrets")
    former = DatabaseUrl.parse((tmp_path / "secrets/database_url").read_text().strip())
    try:
        for block in pages.blocks(PAGE):
            if "docker run" in block.text and "rollback" not in block.text:
                done = migrated.run_block(block.text, tmp_path)
                assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        assert (
            migrated.ask("SELECT rolcanlogin FROM pg_roles WHERE rolname LIKE 'app_user%' ORDER BY rolname") == "f\nt"
        )
        assert migrated.run("invoke", "ready").returncode == 4
    finally:
        migrated.ask(f"ALTER ROLE app_user LOGIN PASSWORD '{former.password.reveal()}'; DROP ROLE IF EXISTS app_user_b")
    assert migrated.run("invoke", "ready").returncode == 0


def test_a_backup_is_restored_as_the_page_says(migrated: Release) -> None:
    """A dump as app_maintenance holds the rows of all; restored as the owner and prepared again, all is as it was."""
    tenant = migrated.run("invoke", "tenants-create", "Acme").stdout.strip()
    content = f"SELECT count(*), count(*) FILTER (WHERE tenant_id = '{tenant}') FROM tenants"
    before = migrated.ask(content), migrated.ask(NAMES)
    assert before[0].endswith("|1")
    migrated.dump_and_restore()
    assert migrated.run("invoke", "bootstrap").returncode == 0
    done = migrated.run("invoke", "migrate", "check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing to do" in done.stdout + done.stderr
    assert (migrated.ask(content), migrated.ask(NAMES)) == before


def test_no_layer_holds_a_secret_or_what_only_developers_use(release: Release) -> None:
    """Neither the files of any layer nor the image's history hold what lay in the checkout, nor a pip."""
    names = set()
    for layer, file, content in layers_of(release.image):
        assert BAIT.encode() not in content, file.name
        names |= {file.name} if layer else set()
    assert "app/tasks.py" in names
    assert not [name for name in names if name.startswith(("app/.env.p", "app/.git/", "app/tests", "app/wheels"))]
    assert not [name for name in names if "/site-packages/pip/" in name and name.startswith("opt/venv")]
    assert not names & {"app/.env", "app/deploy.key", "app/infra/product/tls.pem"}


def test_the_same_commit_gives_the_same_files(release: Release, tmp_path: Path) -> None:
    """A second build without a cache, of a checkout made by a user with another umask, has the same layers."""
    other, tag = tmp_path / "shop", f"{release.network}:2"
    shutil.copytree(release.checkout, other, ignore=shutil.ignore_patterns("wheels", "__pycache__"))
    for path in other.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    try:
        build(other, tag, "--no-cache")
        assert files_of(tag) == files_of(release.image)
    finally:
        subprocess.run(["docker", "image", "rm", "--force", tag], check=True, capture_output=True)


def test_compose_runs_the_job_of_the_example(migrated: Release, tmp_path: Path) -> None:
    """Compose reads the example, and its job ends with 0 with the secrets that it names."""
    shutil.copy(CHECKOUT / "infra/images/release/compose.yaml", tmp_path)
    shutil.copytree(migrated.secrets, tmp_path / "secrets")
    (tmp_path / "secrets").chmod(0o755)
    networks = {"networks": {"default": {"name": migrated.network, "external": True}}}
    (tmp_path / "network.json").write_text(json.dumps(networks))
    words = ("docker", "compose", "-f", "compose.yaml", "-f", "network.json", "-p", migrated.network)
    environ = {"SHOP_IMAGE": migrated.image, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(
        (*words, "run", "--rm", "migrate"), cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
