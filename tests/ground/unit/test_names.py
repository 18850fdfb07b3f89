"""What a product imports: few names from few places, light until they are used, and the former ones for a while."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from infra.config import moved
from infra.config.settings import CHECKOUT
from schema import Base, IdentityUser, TenantMixin, declare_function, tenant_foreign_key, tenant_unique, trigger
from schema.errors import TenancyError
from schema.tenancy import functions
from schema.tenancy.mixin import own_parts
from schema.tenancy.roots import TenantRoot
from tests.kit.checkout import copy_project
from tests.kit.names import write_setting

PACKAGES = ("schema", "schema.client", "schema.client.aio")
HEAVY = {"alembic", "docker", "psycopg", "redis", "sqlalchemy"}
TABLES = "from schema import Base; print(*sorted(Base.metadata.tables))"
# Wherever a program begins, it knows the same tables.
BEGINNINGS = (
    "import schema.models",
    "from schema.models import metadata",
    "from schema.models.users import User",
    "from schema.models.tenants import Tenant",
    "import schema.models.functions",
    "from schema.migration.models import load_models; load_models()",
)


def python(code: str, folder: Path = CHECKOUT, *words: str) -> str:
    """Return what a program prints."""
    done = subprocess.run([sys.executable, *words, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_no_library(package: str) -> None:
    """What a library costs is paid by who uses it."""
    assert python(f"import sys, {package}; print(*{HEAVY!r} & {{*sys.modules}})") == "\n"


@pytest.mark.parametrize("package", PACKAGES)
def test_each_name_is_what_type_checkers_take_it_for(package: str) -> None:
    """A name comes from the module that the package imports it from for type checkers, and there is no other."""
    module = import_module(package)
    source = ast.parse(Path(str(module.__file__)).read_text())
    (checked,) = (
        node for node in source.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    declared = {
        name.name: node.module for node in checked.body if isinstance(node, ast.ImportFrom) for name in node.names
    }
    assert {*declared} == {*module.__all__}
    for name, place in declared.items():
        assert getattr(module, name) is getattr(import_module(str(place)), name)
    with pytest.raises(AttributeError, match="has no attribute 'Tenants'"):
        _ = module.Tenants


@pytest.mark.slow
def test_a_misspelled_name_is_found_by_mypy(tmp_path: Path) -> None:
    """Loading names late hides no mistake from a type checker."""
    file = tmp_path / "product.py"
    file.write_text("from schema import Bas, TenantMixin\nfrom schema.client import tenant_session\n")
    mypy = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path}", str(file)]
    done = subprocess.run(mypy, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert 'Module "schema" has no attribute "Bas"' in done.stdout
    assert "Found 1 error" in done.stdout


def test_a_program_may_begin_anywhere() -> None:
    """Every beginning declares every model of the folder."""
    (known,) = {python(f"{beginning}; {TABLES}") for beginning in BEGINNINGS}
    assert {"tenant_directory", "tenant_features", "tenants", "users"} <= {*known.split()}


def test_a_model_is_declared_by_its_file(tmp_path: Path) -> None:
    """A module of the folder is imported, and so is one in a folder of it, whether or not that is a package."""
    copy = copy_project(tmp_path / "shop")
    (copy / "schema" / "models" / "billing").mkdir()
    for name, file in (("declared", "declared.py"), ("within", "billing/within.py")):
        (copy / "schema" / "models" / file).write_text(
            "from sqlalchemy.orm import Mapped, mapped_column\n\nfrom schema import Base, TenantMixin\n\n\n"
            f"class {name.title()}(TenantMixin, Base):\n    __tablename__ = '{name}'\n\n"
            "    id: Mapped[int] = mapped_column(primary_key=True)\n"
        )
    assert {"declared", "within"} < {*python(f"import schema.models; {TABLES}", copy).split()}


def test_the_models_stand_where_the_setting_says(tmp_path: Path) -> None:
    """Another package is found by its name, with what is declared there and nothing else; one that is not is named."""
    copy = copy_project(tmp_path / "shop")
    (copy / "shop").mkdir()
    (copy / "schema" / "models").rename(copy / "shop" / "tables")
    for file in (copy / "shop" / "tables").glob("*.py"):
        file.write_text(file.read_text().replace("schema.models", "shop.tables"))
    load = "from schema.migration.models import load_models; print(*sorted(load_models().tables))"
    found = "from infra.config.ground import models_folder; print(models_folder())"
    write_setting(copy, "models", "shop.tables")
    assert "tenant_features" in python(load, copy).split()
    assert python(found, copy) == f"{copy / 'shop' / 'tables'}\n"
    (copy / "shop" / "tables").rename(copy / "shop" / "models")
    refused = "try: load_models()\nexcept Exception as error: print(repr(error))"
    said = python(f"from schema.migration.models import load_models\n{refused}", copy)
    assert said.startswith("ConfigError('tool.groundwork.models names shop.tables, and there is no such")


def test_a_product_adds_to_the_grounds_tables() -> None:
    """Columns, keys and triggers of the product's stand beside those that the ground relies on."""

    class Person(IdentityUser, TenantMixin, Base):
        __tablename__ = "unit_test_people"
        __table_args__ = (tenant_unique("nickname"),)
        __triggers__ = (trigger("audit", "AFTER INSERT", "app.audit()"),)

        nickname: Mapped[str]

    class Firm(TenantRoot, TenantMixin, Base):
        __tablename__ = "unit_test_firms"
        __triggers__ = (trigger("audit", "AFTER INSERT", "app.audit()"),)

    people, firms = (Base.metadata.tables[f"unit_test_{name}"] for name in ("people", "firms"))
    for table in (people, firms):
        Base.metadata.remove(table)
    keys = {tuple(key.columns.keys()) for key in people.constraints if isinstance(key, UniqueConstraint)}
    assert keys == {("tenant_id", "external_id"), ("tenant_id", "email"), ("tenant_id", "nickname")}
    assert people.columns.keys()[:3] == ["tenant_id", "created_at", "updated_at"]
    assert {part.name for part in own_parts(firms)} == {"audit", "keep_directory"}


def test_what_inherits_from_a_model_asks_for_nothing_twice() -> None:
    """The table of a class that extends another one's rows has the columns of its own, and none of the other's keys."""

    class Human(IdentityUser, TenantMixin, Base):
        __tablename__ = "unit_test_humans"

    class Company(TenantRoot, TenantMixin, Base):
        __tablename__ = "unit_test_companies"

    class Admin(Human):
        __tablename__ = "unit_test_admins"
        __table_args__ = (tenant_foreign_key("id", "unit_test_humans.id"),)

        tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
        id: Mapped[UUID] = mapped_column(primary_key=True)
        rank: Mapped[int]

    class Bank(Company):
        __tablename__ = "unit_test_banks"

        tenant_id: Mapped[UUID] = mapped_column(ForeignKey("unit_test_companies.tenant_id"), primary_key=True)

    admins, banks = (Base.metadata.tables[f"unit_test_{name}"] for name in ("admins", "banks"))
    for model in (Admin, Bank, Human, Company):
        Base.metadata.remove(model.__table__)  # type: ignore[arg-type]  # it is a Table
    assert not any(isinstance(key, UniqueConstraint) for key in admins.constraints)
    assert own_parts(banks) == ()


def test_a_function_is_declared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one of its signature would silently win or lose."""
    monkeypatch.setattr(functions, "FUNCTIONS", [*functions.FUNCTIONS])
    made = declare_function("app.audit()", "CREATE OR REPLACE FUNCTION app.audit() …", rights=["REVOKE …"])
    assert functions.FUNCTIONS[-1] == made
    with pytest.raises(TenancyError, match=r"app\.audit\(\) is declared twice"):
        declare_function("app.audit()", "CREATE OR REPLACE FUNCTION app.audit() …")


def test_a_former_name_still_works_and_warns() -> None:
    """What a product imported before is the same object, and the warning names where it is imported from now."""
    code = f"""
import warnings
from importlib import import_module
import schema, schema.client, schema.client.aio, schema.models
for name in {[*moved.FORMER]!r}:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        module = import_module(name)
    print(*(f"{{each.category.__name__}}: {{each.message}}" for each in heard), sep="\\n")
from schema.tenancy import TenantMixin
assert TenantMixin is schema.TenantMixin
from schema.rls.policy import narrowing
assert narrowing("own", "a > 0") == schema.restrictive_policy("own", "a > 0")
for former, package, names in (
    ("schema.base", schema, ["Base"]),
    ("schema.functions", schema, ["new_id"]),
    ("schema.rls.policy", schema, ["trigger", "grants"]),
    ("schema.engine", schema.client, ["create_engine"]),
    ("schema.lifecycle", schema.client, ["resolve_tenant"]),
    ("schema.aio.session", schema.client.aio, ["tenant_session"]),
):
    for name in names:
        assert getattr(import_module(former), name) is getattr(package, name)
"""
    heard = python(code, CHECKOUT, "-W", "ignore").splitlines()
    assert heard == [
        f"DeprecationWarning: {name} has moved: import from {there}. The former name is removed in the next version."
        for name, (there, _) in moved.FORMER.items()
    ]


def test_what_applied_migrations_import_stays_without_a_word() -> None:
    """Their text is on record, so it cannot be changed, and there is nothing to warn of."""
    code = (
        "from schema.concurrently import create_index; from schema.data_migration import for_each_tenant;"
        " from schema.sql_type import SqlType; print(create_index.__module__, for_each_tenant.__module__)"
    )
    assert python(code, CHECKOUT, "-W", "error").split() == [
        "schema.migration.helpers.indexes",
        "schema.migration.helpers.tenants",
    ]
