"""A tenant's rows, written to a file while the tenant is deleted, and brought back."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID, uuid4

import pytest

from infra.config.settings import Role
from infra.config.urls import DatabaseUrl
from schema.admin import tenants
from schema.admin.tenant_export import exported
from schema.admin.whole_tenant import WholeTenant
from schema.client.connection import connect
from schema.errors import TenantError
from tests.ground.integration.conftest import Scratch
from tests.ground.integration.isolation.damaged_tables import PROTECT
from tests.kit.availability import needed_psql
from tests.kit.database import SignUp
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

# More rows of a table than one INSERT of the file holds, each of which refers to the next, and a circle of two tables.
TABLES: LiteralString = """
    CREATE TABLE persons (
        tenant_id uuid REFERENCES tenants, id int GENERATED ALWAYS AS IDENTITY, team int, PRIMARY KEY (tenant_id, id)
    );
    CREATE TABLE teams (
        tenant_id uuid REFERENCES tenants, id int, lead int, PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, lead) REFERENCES persons
    );
    ALTER TABLE persons ADD FOREIGN KEY (tenant_id, team) REFERENCES teams;
    CREATE TABLE tasks (
        tenant_id uuid REFERENCES tenants, id int, after int, PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, after) REFERENCES tasks
    );
"""
ROWS: LiteralString = """
    BEGIN;
    SET LOCAL app.tenant_id = '{0}';
    INSERT INTO tenants (tenant_id, name, slug) VALUES ('{0}', 'Acme', '{0}');
    INSERT INTO teams VALUES ('{0}', 1);
    INSERT INTO persons (tenant_id, team) VALUES ('{0}', 1);
    UPDATE teams SET lead = (SELECT max(id) FROM persons);
    INSERT INTO tasks SELECT '{0}', n, nullif(n + 1, 1201) FROM generate_series(1, 1200) n;
    COMMIT
"""
HELD: LiteralString = """
    SELECT 'person', id, team FROM persons UNION ALL SELECT 'team', id, lead FROM teams
    UNION ALL SELECT 'task', id, after FROM tasks ORDER BY 1, 2
"""
DEFERRABLE: LiteralString = "SELECT conname FROM pg_constraint WHERE contype = 'f' AND condeferrable"


def restore(owner: DatabaseUrl, file: Path) -> None:
    """Restore an exported tenant as its head says."""
    done = subprocess.run(
        [needed_psql(), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", str(owner), "-f", file],
        env=os.environ | {"PGPASSWORD": owner.password.reveal()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def held(owner: DatabaseUrl, stack: RunningStack, tenant: UUID) -> list[Any]:
    """Return a tenant's rows."""
    with connect(owner, stack.settings) as connection:
        connection.execute(f"SET LOCAL app.tenant_id = '{tenant}'".encode())
        return connection.execute(HELD).fetchall()


def test_rows_that_refer_in_circles_come_back(scratch: Scratch, stack: RunningStack, tmp_path: Path) -> None:
    """All of them, in one transaction that leaves every key as it was; and the numbers of all tenants go on."""
    scratch.upgrade()
    tables = "".join(PROTECT.format(table) for table in ("persons", "teams", "tasks"))
    scratch.connection.execute((TABLES + tables).encode())
    tenant, other = uuid4(), uuid4()
    scratch.connection.execute(ROWS.format(tenant).encode())
    before = held(scratch.url, stack, tenant)
    file = tmp_path / "rows.sql"
    gone = tenants.delete(scratch.url, stack.settings, tenant, file)
    assert (gone["tasks"], gone["teams"], held(scratch.url, stack, tenant)) == (1200, 1, [])

    scratch.connection.execute(ROWS.format(other).encode())
    others = held(scratch.url, stack, other)
    restore(scratch.url, file)
    assert (held(scratch.url, stack, tenant), held(scratch.url, stack, other)) == (before, others)
    assert scratch.connection.execute(DEFERRABLE).fetchall() == []
    scratch.connection.execute(ROWS.format(uuid4()).encode())
    assert scratch.connection.execute("SELECT last_value FROM persons_id_seq").fetchall() == [(3,)]


def test_numbers_go_on_where_they_were_not_given_out(scratch: Scratch, stack: RunningStack, tmp_path: Path) -> None:
    """In another database, whose sequence has given out nothing, no number of the file is given out again."""
    scratch.upgrade()
    tables = "".join(PROTECT.format(table) for table in ("persons", "teams", "tasks"))
    scratch.connection.execute((TABLES + tables).encode())
    tenant = uuid4()
    scratch.connection.execute(ROWS.format(tenant).encode())
    file = tmp_path / "rows.sql"
    tenants.delete(scratch.url, stack.settings, tenant, file)
    scratch.connection.execute("ALTER SEQUENCE persons_id_seq RESTART")
    restore(scratch.url, file)
    assert scratch.connection.execute("SELECT last_value, is_called FROM persons_id_seq").fetchall() == [(1, True)]


@pytest.mark.parametrize(
    "meanwhile",
    [
        ("INSERT INTO users (tenant_id, external_id, email) VALUES ('{0}', 'new', 'new')", "users"),
        ("UPDATE tenants SET name = 'Other' WHERE tenant_id = '{0}'", "change meanwhile"),
    ],
)
def test_what_comes_meanwhile_keeps_the_tenant(
    meanwhile: tuple[str, str],
    sign_up: SignUp,
    stack: RunningStack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is deleted that is not in the file, and then there is no file."""
    tenant, owner = sign_up(), stack.url(Role.OWNER)

    @contextmanager
    def disturbed(view: WholeTenant, file: Path, _: Any) -> Iterator[dict[str, int]]:
        with exported(view, file) as counts:
            with connect(owner, stack.settings) as other:
                other.execute(f"SET LOCAL app.tenant_id = '{tenant}'".encode())
                other.execute(meanwhile[0].format(tenant).encode())
            yield counts

    monkeypatch.setattr(tenants, "exported", disturbed)
    with pytest.raises(TenantError, match=meanwhile[1]):
        tenants.delete(owner, stack.settings, tenant, tmp_path / "rows.sql")
    assert tenants.rows_of(owner, stack.settings, tenant)["tenants"] == 1
    assert list(tmp_path.iterdir()) == []
