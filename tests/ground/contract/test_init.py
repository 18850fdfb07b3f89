"""`invoke init`: a checkout of the ground becomes a product's own, in one commit or not at all."""

import re
import shutil
import sys
import tomllib

import pytest

from infra.commands.ground.begin import require_name
from infra.commands.ground.git import GroundError
from infra.config.ground import ground_version
from tests.kit.repositories import FIRST, Clone, Repository

FIRST_MIGRATION = "migrations/versions/0001_create_tenants_users_and_tenant_features.py"


def test_a_checkout_becomes_a_products_own(clone: Clone) -> None:
    """Its project and README have the product's name, the base is recorded, and all of it is one commit."""
    shop = clone("shop")
    base = shop.head
    shop.succeed("init", "our-shop")
    project = tomllib.loads(shop.read("pyproject.toml"))
    assert [project["project"][key] for key in ("name", "version")] == ["our-shop", "0.1.0"]
    assert "our-shop[docker,embedded]" in project["project"]["optional-dependencies"]["dev"]
    assert project["tool"]["groundwork"].items() >= {"ground": FIRST, "base": base}.items()
    assert shop.read("README.md").startswith("# our-shop\n")
    assert shop.git("rev-list", f"{base}..HEAD").split() == [shop.head]
    assert shop.git("status", "--porcelain") == ""
    assert shop.git("diff", "--name-only", base, "HEAD").split() == ["README.md", "pyproject.toml"]
    assert ground_version(shop.path) == FIRST


def test_the_database_has_the_name_that_is_chosen(clone: Clone) -> None:
    """Migrations and what is allowed name its functions and roles so, laid out as the checks ask for."""
    shop = clone("shop")
    base = shop.head
    before = shop.read(FIRST_MIGRATION)
    shop.succeed("init", "our-shop", "--database-name", "our_shop")
    assert tomllib.loads(shop.read("pyproject.toml"))["tool"]["groundwork"]["name"] == "our_shop"
    assert shop.git("diff", "--name-only", base, "HEAD").split() == ["README.md", FIRST_MIGRATION, "pyproject.toml"]
    after = shop.read(FIRST_MIGRATION)
    assert "GRANT EXECUTE ON FUNCTION our_shop.resolve_tenant(text, text) TO our_shop_user" in after
    assert re.findall(r"\bapp\.\w+", after) == ["app.tenant_id"] * 2 == re.findall(r"'(app\.\w+)", before)
    assert "app_user" not in after.replace("our_shop_user", "")
    for check in (("format", "--check"), ("check",)):
        done = shop.run(sys.executable, "-m", "ruff", *check, FIRST_MIGRATION)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["Shop", pytest.param("order", marks=pytest.mark.slow)])
def test_a_name_that_a_database_cannot_have_is_refused(clone: Clone, name: str) -> None:
    """Nothing is changed by one that PostgreSQL would not take, or only in quotes."""
    shop = clone("shop")
    before = shop.state()
    done = shop.invoke("init", "shop", "--database-name", name)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert f"--database-name '{name}' is" in done.stderr
    assert shop.state() == before


def test_a_fresh_history_is_one_commit(clone: Clone) -> None:
    """The branch begins with the product; the working tree is the same as with the ground's history before it."""
    shop, other = clone("shop"), clone("other")
    shop.succeed("init", "shop", "--fresh-history")
    other.succeed("init", "shop")
    assert shop.git("rev-list", "HEAD").split() == [shop.head]
    assert shop.git("symbolic-ref", "--short", "HEAD") == "main"
    assert shop.git("rev-parse", "HEAD^{tree}") == other.git("rev-parse", "HEAD^{tree}")
    assert shop.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Shop", "no name"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                ("our_shop", "no name"),
                ("../shop\n", "no name"),
                ("import", "Python"),
                ("json", "Python"),
                ("schema", "folder"),
                ("groundwork", "the ground"),
                ("alembic", "library"),
            )
        ),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(clone: Clone, name: str, why: str) -> None:
    """Nothing is changed by what is no name of a package, a container and a folder, or is taken."""
    shop = clone("shop")
    before = shop.state()
    done = shop.invoke("init", name)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert why in done.stderr
    assert shop.state() == before


def _change(shop: Repository) -> None:
    shop.write("tasks.py", f"{shop.read('tasks.py')}# mine\n")


def _stage(shop: Repository) -> None:
    _change(shop)
    shop.git("add", "tasks.py")


def _begin(shop: Repository) -> None:
    shop.succeed("init", "store")


def _commit(shop: Repository) -> None:
    _change(shop)
    shop.commit("mine")


def _forget_git(shop: Repository) -> None:
    shutil.rmtree(shop.path / ".git")
    shop.git("init", "--quiet")


REFUSED = {
    "changed": (_change, "not committed: tasks.py"),
    "staged": (_stage, "not committed: tasks.py"),
    "a model": (lambda shop: shop.write("schema/models/draft.py", ""), "schema/models/draft.py"),
    "a second time": (_begin, f"store, on groundwork {FIRST}"),
    "commits of one's own": (_commit, "--base"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFUSED)
def test_a_checkout_that_is_not_ready_is_refused(clone: Clone, kind: str) -> None:
    """What is not committed, is a product's already or has commits that no update knows is left as it is."""
    prepare, said = REFUSED[kind]
    shop = clone("shop")
    prepare(shop)
    before = shop.state()
    done = shop.invoke("init", "shop")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert said in done.stderr
    assert shop.state() == before


@pytest.mark.slow
def test_a_folder_that_is_no_repository_is_refused(clone: Clone) -> None:
    """Without git, without a commit, and below the top of another repository, nothing is changed."""
    shop = clone("shop")
    _forget_git(shop)
    assert "no commit yet" in shop.invoke("init", "shop").stderr
    shutil.rmtree(shop.path / ".git")
    assert "not the top of a git repository" in shop.invoke("init", "shop").stderr
    Repository(shop.path.parent).git("init", "--quiet")
    assert "not the top of a git repository" in shop.invoke("init", "shop").stderr
    assert shop.read("README.md").startswith("# Groundwork")


def test_commits_of_ones_own_come_after_the_base_that_is_named(clone: Clone) -> None:
    """The base is the ground's last commit, so that no update takes the product's work for the ground's."""
    shop = clone("shop")
    base = shop.head
    _commit(shop)
    assert "is no commit that" in shop.invoke("init", "shop", "--base", "nothing").stderr
    shop.succeed("init", "shop", "--base", "HEAD~")
    assert tomllib.loads(shop.read("pyproject.toml"))["tool"]["groundwork"]["base"] == base
    assert shop.read("tasks.py").endswith("# mine\n")


@pytest.mark.slow
def test_a_product_that_has_begun_without_it_keeps_what_is_its_own(clone: Clone) -> None:
    """A README, a version and a description that are not the ground's any more stay; the record is all that is new."""
    shop = clone("shop")
    shop.write("README.md", "# Our shop\n")
    shop.replace("pyproject.toml", f'version = "{FIRST}"', 'version = "7.1.0"')
    shop.commit("ours")
    shop.succeed("init", "shop", "--base", "HEAD~")
    project = tomllib.loads(shop.read("pyproject.toml"))
    assert (shop.read("README.md"), project["project"]["version"]) == ("# Our shop\n", "7.1.0")
    assert project["tool"]["groundwork"]["ground"] == FIRST


@pytest.mark.slow
def test_an_address_is_recorded_without_a_password(clone: Clone) -> None:
    """Updates come from where the checkout was cloned from, and what is secret in that address is not committed."""
    shop = clone("shop")
    shop.git("remote", "set-url", "origin", "https://ada:s3cret@example.com/ground.git")
    shop.succeed("init", "shop")
    record = tomllib.loads(shop.read("pyproject.toml"))["tool"]["groundwork"]
    assert record["remote"] == "https://example.com/ground.git"


@pytest.mark.slow
def test_nobody_needs_to_have_told_git_a_name(clone: Clone) -> None:
    """Where git knows no person the commit is made all the same, and nothing is written to git's configuration."""
    shop = clone("shop")
    config = shop.read(".git/config")
    unnamed = {f"GIT_{role}_{part}": "" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    only_configured = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "user.useConfigOnly",
        "GIT_CONFIG_VALUE_0": "true",
    }
    done = shop.invoke("init", "shop", **unnamed, **only_configured)
    assert done.returncode == 0, done.stderr
    assert shop.git("log", "-1", "--format=%an <%ae>") == "groundwork <groundwork@localhost>"
    assert shop.read(".git/config") == config


def test_a_file_in_the_way_is_named(clone: Clone) -> None:
    """A README that git does not know, as after `git rm --cached`, is not overwritten."""
    shop = clone("shop")
    shop.git("rm", "--quiet", "--cached", "README.md")
    shop.git("commit", "--quiet", "--message", "no README")
    shop.write("README.md", "mine\n")
    done = shop.invoke("init", "shop", "--base", "HEAD~")
    assert (done.returncode, "in the way" in done.stderr) == (1, True)
    assert shop.read("README.md") == "mine\n"


@pytest.mark.parametrize("name", ["shop.", "9lives", "a--b", "-shop", "ä", "x" * 64, "shop\n", "Python-Dotenv", ""])
def test_a_name_has_lower_case_letters_digits_and_single_hyphens(name: str) -> None:
    """Whatever pip, a container or a folder would not take, or take for another name, is none."""
    with pytest.raises(GroundError, match="is no name"):
        require_name(name, "groundwork", "")


@pytest.mark.parametrize("name", ["shop", "our-shop-2", "x", "x" * 63])
def test_a_name_that_all_take_is_accepted(name: str) -> None:
    """It is the same to pip, a container and a folder."""
    require_name(name, "groundwork", "shopping==1.0\n")
