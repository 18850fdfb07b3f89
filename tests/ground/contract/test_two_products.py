"""Two products on one server: each command of each, and never a sight of the other."""

import json
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import psycopg
import pytest

from infra.config.libpq import parameters
from infra.config.settings import Role, SslMode
from infra.config.urls import DatabaseUrl
from tests.kit.checkout import Checkout, MakeCheckout
from tests.kit.names import give_database_name

pytestmark = [pytest.mark.slow, pytest.mark.one_backend]

NAMES = ("shop", "store")
KEYS = {"owner": "DATABASE_OWNER_URL", "user": "DATABASE_URL", "maintenance": "DATABASE_MAINTENANCE_URL"}
NOTES = '''"""Notes."""

from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from schema import Base, TenantMixin, new_id


class Note(TenantMixin, Base):
    """A note."""

    __tablename__ = "notes"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    text: Mapped[str]
'''


def ask(url: DatabaseUrl, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""
    with psycopg.connect(**parameters(url, SslMode.PREFER, 10), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@dataclass(frozen=True, slots=True)
class Product:
    """The checkout of a product whose database is on somebody else's server."""

    name: str
    checkout: Checkout
    admin: DatabaseUrl

    def url(self, kind: str, database: str = "") -> DatabaseUrl:
        """Return the URL of one of its roles, on its database or another."""
        url = DatabaseUrl.parse(self.checkout.environ[KEYS[kind]])
        return url.on(database or self.name)

    def rows(self, table: str) -> int:
        """Return how many rows there are, as who sees them all."""
        [(count,)] = ask(self.admin.on(self.name), f"SELECT count(*) FROM {table}")
        return int(count)

    def objects(self) -> list[tuple[Any, ...]]:
        """Return all that is in its database, each with the transaction that wrote it."""
        return ask(
            self.admin.on(self.name),
            "SELECT c.oid, relname, relacl::text, c.xmin FROM pg_class c WHERE c.oid >= 16384"
            " UNION ALL SELECT oid, polname, polqual::text, xmin FROM pg_policy"
            " UNION ALL SELECT oid, proname, proacl::text, xmin FROM pg_proc WHERE oid >= 16384 ORDER BY 1",
        )

    def succeed(self, *words: str) -> str:
        """Run a command and return what it printed."""
        return self.checkout.succeed(*words).stdout


@pytest.fixture
def admin(make_checkout: MakeCheckout) -> DatabaseUrl:
    """Give the administrator's URL of a server that is neither product's."""
    server = make_checkout("server")
    server.succeed("up")
    password = server.settings.postgres_password
    return replace(server.url(Role.OWNER), user="postgres", password=password, database="postgres")


@pytest.fixture
def products(admin: DatabaseUrl, make_checkout: MakeCheckout) -> tuple[Product, Product]:
    """Give two products, bootstrapped and migrated on one server."""

    def make(name: str) -> Product:
        at = f"{admin.host}:{admin.port}/{name}"
        urls = {key: f"postgresql://{name}_{kind}:{name}-{kind}@{at}" for kind, key in KEYS.items()}
        checkout = make_checkout(name, DATABASE_ADMIN_URL=admin.libpq(), **urls)
        give_database_name(checkout.path, name)
        return Product(name, checkout, admin)

    first, second = map(make, NAMES)
    for product in (first, second):
        product.succeed("bootstrap")
        product.succeed("migrate")
    return first, second


def test_no_role_of_one_may_connect_to_the_database_of_the_other(products: tuple[Product, Product]) -> None:
    """Nor can it become a role of the other's."""
    for one, other in permutations(products):
        for kind in KEYS:
            assert ask(one.url(kind), "SELECT 1") == [(1,)]
            with pytest.raises(psycopg.OperationalError, match="does not have CONNECT privilege"):
                ask(one.url(kind, other.name), "SELECT 1")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ask(one.url(kind), f"SET ROLE {other.name}_{kind}")


def test_every_command_of_one_leaves_the_other_as_it_is(products: tuple[Product, Product]) -> None:
    """Tenants of one slug, a table of one name, an export, a rollback: each finds its own, and stays isolated."""
    for one, other in permutations(products):
        before = other.objects(), other.rows("tenants"), other.rows("users")
        assert json.loads(one.succeed("bootstrap", "--json"))["made"] == []
        assert "nothing to do" in one.succeed("migrate")
        one.succeed("tenants-create", "Acme", "--slug", "acme")
        assert [each["slug"] for each in json.loads(one.succeed("tenants-list", "--json"))] == ["acme"]
        (one.checkout.path / "schema" / "models" / "notes.py").write_text(NOTES)
        [written] = json.loads(one.succeed("generate", "-m", "add notes", "--json"))["files"]
        assert f"{one.name}_user" in (one.checkout.path / written).read_text()
        one.succeed("migrate")
        assert [each["state"] for each in json.loads(one.succeed("history", "--json"))] == ["applied"] * 2
        assert json.loads(one.succeed("check", "--json"))["isolated"]
        access = json.loads(one.succeed("access", "--json"))["access"]
        assert {each["role"] for each in access} == {f"{one.name}_{kind}" for kind in KEYS}
        one.succeed("tenants-delete", "acme", "--yes")
        assert one.rows("tenants") == 0
        one.succeed("rollback", "--confirm-database", one.name)
        assert [each["state"] for each in json.loads(one.succeed("history", "--json"))] == ["applied", "pending"]
        one.succeed("migrate")
        assert (other.objects(), other.rows("tenants"), other.rows("users")) == before
        one.succeed("tenants-create", "Acme", "--slug", "acme")
    for product in products:
        assert json.loads(product.succeed("check", "--json"))["isolated"]
        assert product.rows("tenants") == 1


def test_throw_away_databases_are_those_of_the_product_that_made_them(
    products: tuple[Product, Product], admin: DatabaseUrl
) -> None:
    """A template is used again and dropped by its product alone, and so is what a run that was killed has left."""
    shop, store = products
    for product in products:
        product.succeed("generate", "--check")
    templates = dict(ask(admin, "SELECT datname, oid FROM pg_database WHERE datname ~ '^groundwork_template_'"))
    assert {name.split("_")[2] for name in templates} == {*NAMES}
    ask(admin, "CREATE DATABASE groundwork_shadow_shop_999999999 OWNER shop_owner")
    for checkout in (store.checkout, shop.checkout):
        left = [name for (name,) in ask(admin, "SELECT datname FROM pg_database WHERE datname ~ '^groundwork_shadow_'")]
        assert left == ["groundwork_shadow_shop_999999999"]
        (checkout.path / "schema" / "models" / "notes.py").write_text(NOTES)
        checkout.succeed("generate", "-m", "add notes")
        checkout.succeed("migrate")
        checkout.succeed("generate", "--check")
        now = dict(ask(admin, "SELECT datname, oid FROM pg_database WHERE datname ~ '^groundwork_template_'"))
        assert len(now) == len(templates)
        if checkout is store.checkout:
            assert {(name, oid) for name, oid in now.items() if "_shop_" in name} == {
                (name, oid) for name, oid in templates.items() if "_shop_" in name
            }
    assert ask(admin, "SELECT FROM pg_database WHERE datname ~ '^groundwork_shadow_'") == []


def test_a_name_that_is_changed_later_changes_nothing(products: tuple[Product, Product], admin: DatabaseUrl) -> None:
    """Every command that would touch a database is refused with what to write; no role and no database is made."""
    shop, _ = products
    pyproject = shop.checkout.path / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('name = "shop"', 'name = "other"'))
    asked = "SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database ORDER BY 1"
    before = ask(admin, asked), shop.objects()
    for words in (["bootstrap"], ["migrate"], ["generate", "-m", "x"], ["check"], ["history"], ["rollback"]):
        done = shop.checkout.invoke(*words)
        assert (done.returncode, 'Write `name = "shop"`' in done.stderr) == (2, True), (words, done.stderr)
    assert (ask(admin, asked), shop.objects()) == before
