"""Every command on a server of others, for an administrator who may create roles and databases and nothing else."""

from pathlib import Path

import pytest

from infra.config.settings import Role
from infra.config.urls import DatabaseUrl
from tests.kit.bare_server import SETTINGS, ask, psql, role_at
from tests.kit.checkout import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.one_backend]

BILLS = '''"""Bills."""

from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from schema import Base, TenantMixin, new_id


class Bill(TenantMixin, Base):
    """A bill."""

    __tablename__ = "bills"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    number: Mapped[str]
'''
CONFIRMED = ("--confirm-database", "app")


@pytest.fixture
def elsewhere(checkout: Checkout, superuser: DatabaseUrl, manager: DatabaseUrl) -> Checkout:
    """Give a checkout whose database is on a server of others, with its administrator."""
    checkout.environ |= {
        "DATABASE_ADMIN_URL": manager.libpq(),
        "DATABASE_URL": role_at(superuser, Role.USER).libpq(),
        "DATABASE_OWNER_URL": role_at(superuser, Role.OWNER).libpq(),
        "DATABASE_MAINTENANCE_URL": role_at(superuser, Role.MAINTENANCE).libpq(),
    }
    return checkout


def count(superuser: DatabaseUrl, table: str) -> int:
    """Return how many rows of all tenants a table of the product has."""
    return int(ask(superuser.on("app"), f"SELECT count(*) FROM {table}")[0][0])


def test_every_command_works(elsewhere: Checkout, superuser: DatabaseUrl, tmp_path: Path) -> None:
    """From an empty server to a deleted tenant and back; nothing asks for more than CREATEROLE and CREATEDB."""
    elsewhere.succeed("bootstrap")
    elsewhere.succeed("migrate")
    (elsewhere.path / "schema" / "models" / "bills.py").write_text(BILLS)
    elsewhere.succeed("generate", "-m", "add bills")
    elsewhere.succeed("migrate", "--plan")
    elsewhere.succeed("migrate", "--sql")
    elsewhere.succeed("migrate")
    elsewhere.succeed("generate", "-m", "again", "--check")
    assert "isolated" in elsewhere.succeed("check").stdout
    elsewhere.succeed("access", "--json")
    elsewhere.succeed("history")
    exported = tmp_path / "acme.sql"
    for slug in ("acme", "globex"):
        tenant = elsewhere.succeed("tenants-create", slug.title(), "--slug", slug).stdout.strip()
        ask(superuser.on("app"), f"INSERT INTO bills (tenant_id, number) VALUES ('{tenant}', '1')")
    elsewhere.succeed("tenants-list")
    elsewhere.succeed("tenants-delete", "acme", "--yes", "--export", str(exported))
    assert (count(superuser, "tenants"), count(superuser, "bills")) == (1, 1)
    assert psql(role_at(superuser, Role.OWNER), exported.read_text()).returncode == 0
    assert (count(superuser, "tenants"), count(superuser, "bills")) == (2, 2)
    for slug in ("acme", "globex"):
        elsewhere.succeed("tenants-delete", slug, "--yes", "--no-export")
    elsewhere.succeed("rollback", *CONFIRMED)
    assert ask(superuser.on("app"), "SELECT to_regclass('bills')") == [(None,)]
    elsewhere.succeed("migrate")
    elsewhere.succeed("doctor", "--database")
    for role in ("owner", "user", "maintenance", "admin"):
        assert elsewhere.pipe("SELECT 1", "psql", "--role", role).returncode == 0
    assert elsewhere.invoke("bootstrap").stderr.count("not available on this server") == 2
    left = ask(superuser, "SELECT datname FROM pg_database WHERE datname LIKE 'groundwork%'")
    assert [name for (name,) in left if "shadow" in name] == []


def test_its_script_works(elsewhere: Checkout, superuser: DatabaseUrl, manager: DatabaseUrl) -> None:
    """An administrator who runs the script by hand has a server on which migrations and the check work."""
    for role in Role:
        elsewhere.environ[f"APP_{role.name}_PASSWORD"] = SETTINGS.role_password(role).reveal()
    done = psql(manager, elsewhere.succeed("bootstrap", "--sql").stdout)
    assert done.returncode == 0, done.stderr
    elsewhere.succeed("migrate")
    elsewhere.succeed("check")
    assert ask(
        superuser.on("app"), "SELECT count(*) FROM pg_tables WHERE tableowner <> 'app_owner' AND schemaname = 'public'"
    ) == [(0,)]
