"""What the database, its roles and its schema of functions are called: read in one place, from pyproject.toml."""

import shutil
from pathlib import Path

import pytest

from infra.commands.ground.begin import require_database_name
from infra.commands.ground.git import GroundError
from infra.commands.ground.pyproject import called
from infra.config.database_names import LONGEST
from infra.config.errors import ConfigError
from infra.config.ground import Ground, read_ground
from infra.config.settings import CHECKOUT, Role, function_schema
from schema.migration.written_name import require_written_name
from schema.tenancy.functions import TENANT_ID
from tests.ground.unit.test_names import python
from tests.kit.checkout import copy_project
from tests.kit.errors import about
from tests.kit.names import give_database_name

# What a name decides wherever it is asked for: URLs, rights, declared functions and policies, throw-away databases.
NAMES = """
from infra.config.settings import Role, database_name, function_schema
from schema.migration import shadow, shadow_template
from schema.tenancy.functions import FUNCTIONS
from schema.tenancy.policies import APPLICATION, PREDICATE
print(database_name(), *Role, function_schema(), APPLICATION.grantee, PREDICATE, sep="\\n")
print(shadow.PREFIX, shadow_template.PREFIX, *(each.signature for each in FUNCTIONS[:2]), sep="\\n")
"""


def names_of(name: str) -> list[str]:
    """Return what `NAMES` prints under a name."""
    return [
        name,
        *(f"{name}_{kind}" for kind in ("owner", "user", "maintenance")),
        name,
        f"{name}_user",
        f"tenant_id = (SELECT {name}.tenant_id())",
        f"groundwork_shadow_{name}_",
        f"groundwork_template_{name}_",
        f"{name}.uuid7()",
        f"{name}.tenant_id()",
    ]


def test_a_product_has_the_name_that_it_chose(tmp_path: Path) -> None:
    """Everything on the server is called so, and without a choice by the default.

    It holds where the packages are installed without the checkout as well: the wheel has a copy of pyproject.toml.
    """
    assert python(NAMES).splitlines() == names_of("app")
    shop = copy_project(tmp_path / "shop")
    give_database_name(shop, "our_shop")
    assert python(NAMES, shop).splitlines() == names_of("our_shop")
    for package in ("infra", "schema"):
        shutil.copytree(shop / package, tmp_path / "installed" / package)
    shutil.copy(shop / "pyproject.toml", tmp_path / "installed" / "infra" / "config" / "product.toml")
    assert python(NAMES, tmp_path / "installed").splitlines() == names_of("our_shop")


def test_the_wheel_takes_pyproject_along() -> None:
    """The packages have a link to it, which is followed when they are built, and are built with it."""
    link = CHECKOUT / "infra" / "config" / "product.toml"
    assert link.is_symlink()
    assert link.samefile(CHECKOUT / "pyproject.toml")
    assert '"infra.config" = ["product.toml"]' in link.read_text(encoding="utf-8")


def test_a_projects_file_without_a_word_of_it_means_the_defaults(tmp_path: Path) -> None:
    """So does none at all."""
    assert read_ground(tmp_path / "pyproject.toml") == Ground("app", "schema.models", "unknown")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\nversion = "1.0"\n')
    assert read_ground(tmp_path / "pyproject.toml") == Ground("app", "schema.models", "1.0")


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ('[tool.groundwork]\nquite = "other"', "tool.groundwork.quite"),
        ("[tool.groundwork]\nname = 1", "tool.groundwork.name"),
        ("[tool.groundwork]\nisolation = 1", "tool.groundwork.isolation"),
        ("[tool]\ngroundwork = 1", "tool.groundwork"),
        ("tool = 1", "tool"),
        ('[tool.groundwork]\nname = "Shop"', "tool.groundwork.name"),
        ('[tool.groundwork]\nmodels = "schema/models"', "tool.groundwork.models"),
        ('[tool.groundwork]\nmodels = ""', "tool.groundwork.models"),
        ("[", None),
    ],
)
def test_what_nothing_reads_or_cannot_be_used_is_refused(tmp_path: Path, text: str, setting: str | None) -> None:
    """File and key are named: a key that nothing reads would silently have no effect."""
    path = tmp_path / "pyproject.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, check=about(setting=setting, file=path)):
        read_ground(path)


def test_what_a_misspelled_key_may_have_meant_is_said(tmp_path: Path) -> None:
    """The near key is named."""
    path = tmp_path / "pyproject.toml"
    path.write_text('[tool.groundwork]\nnmae = "shop"')
    with pytest.raises(ConfigError, match=r"'nmae', which nothing reads\. Did you mean name\?"):
        read_ground(path)


@pytest.mark.parametrize("name", ["app", "shop", "our_shop_2", "x", "x" * LONGEST, "publicity", "users", "data"])
def test_a_name_that_needs_no_quotes_is_accepted(name: str) -> None:
    """The longest name that is made of one still is an identifier."""
    require_database_name(name)
    assert len(f"groundwork_template_{name}_{'0' * 16}") <= 63


@pytest.mark.parametrize(
    "name",
    [
        *("", "Shop", "2shop", "our-shop", "shop\n", "ä", "_shop", "x" * (LONGEST + 1)),
        *("public", "postgres", "template1", "pg_shop", "information_schema"),
        *("order", "user", "time", "values", "groundwork_template_shop"),
    ],
)
def test_a_name_that_postgresql_keeps_or_quotes_is_refused(name: str) -> None:
    """What nobody can create, what is there or thrown away, and what SQL reads as a word of its own."""
    with pytest.raises(GroundError, match="Nothing was changed"):
        require_database_name(name)


def test_what_is_the_sessions_is_called_the_same_everywhere() -> None:
    """Functions and roles are renamed; the settings of a session, and names that only look alike, are not."""
    kept = "'app.user_id' myapp.f() app_user_password app_owners xapp_user app.user"
    written = called(f"{kept} app.f(1), app_user, app_owner {kept}", "shop")
    assert written == f"{kept} shop.f(1), shop_user, shop_owner {kept}"
    assert called(TENANT_ID.create, "shop").count("app.tenant_id") == 2  # in current_setting and in the error


def test_another_name_than_the_migrations_have_is_refused(tmp_path: Path) -> None:
    """The migration is named with the name to set again: what it makes is found under that name alone."""
    shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    require_written_name(tmp_path)
    [first] = (tmp_path / "migrations" / "versions").glob("0001_*.py")
    first.write_text(called(first.read_text(), "shop"))
    with pytest.raises(
        ConfigError, check=about(setting="tool.groundwork.name", file=tmp_path / "pyproject.toml")
    ) as raised:
        require_written_name(tmp_path)
    assert f"versions/{first.name} makes them for 'shop'" in str(raised.value)


def test_a_role_is_known_by_what_the_server_calls_it() -> None:
    """In texts, too: messages name the role that there is."""
    assert [str(role) for role in Role] == [f"{function_schema()}_{role.value}" for role in Role]
