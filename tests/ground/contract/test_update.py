"""`invoke update`: the ground's next release arrives whole or not at all, and nothing of the product is lost."""

import json
import os
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.kit.repositories import FIRST, NO_STEPS, SECOND, Clone, Repository, record, take

MIXIN = "schema/tenancy/mixin.py"
DOC = "Give a model its tenant and its two timestamps, and have its table isolated by the migrations."


def test_both_sides_have_what_they_changed(ground: Repository, product: Repository) -> None:
    """One commit follows the product's, with the ground's changes beside the product's in the same files."""
    product.replace(".env.example", "LOG_LEVEL=INFO", "LOG_LEVEL=DEBUG")
    before = product.commit("more to read")
    ground.write(".env.example", ground.read(".env.example") + "\n# the ground's\n")
    ground.replace(MIXIN, DOC, "Tenants.")
    ground.write("infra/new/file.py", '"""New."""\n')
    target = ground.release(SECOND)
    take(product)
    assert product.git("rev-list", "--parents", "-1", "HEAD").split() == [product.head, before]
    assert "LOG_LEVEL=DEBUG" in product.read(".env.example")
    assert product.read(".env.example").endswith("# the ground's\n")
    assert "Tenants." in product.read(MIXIN)
    assert (record(product)["ground"], record(product)["base"]) == (SECOND, target)
    assert product.git("symbolic-ref", "--short", "HEAD") == "main"


def test_a_product_without_shared_history_is_updated(ground: Repository, clone: Clone) -> None:
    """The base is fetched where the product's repository knows no commit of the ground, twice in a row."""
    begun = clone("begun")
    begun.succeed("init", "shop")
    shop = Repository(begun.path.parent / "shop")
    shutil.copytree(begun.path, shop.path, ignore=shutil.ignore_patterns(".git"))
    shop.git("init", "--quiet", "--initial-branch=main")
    shop.replace("tasks.py", '"""The commands', '"""Our commands')
    shop.commit("all of it")
    for version in (SECOND, "92.0.0"):
        ground.write("schema/py.typed", f"{version}\n")
        ground.release(version)
        take(shop)
        assert (shop.read("schema/py.typed"), record(shop)["ground"]) == (f"{version}\n", version)
    assert shop.read("tasks.py").startswith('"""Our commands')
    assert len(shop.git("rev-list", "HEAD").split()) == 3


def _begun_and_forgotten(ground: Repository, clone: Clone) -> Repository:
    """Give a product that began from where the ground is, and has nothing of the ground's history any more."""
    base = ground.head
    shop = clone("shop")
    shop.succeed("init", "shop", "--fresh-history")
    shop.git("remote", "remove", "origin")
    for tag in shop.git("tag").split():
        shop.git("tag", "--delete", tag)
    shop.git("update-ref", "-d", "ORIG_HEAD")
    shop.git("reflog", "expire", "--expire=now", "--all")
    shop.git("gc", "--quiet", "--prune=now")
    assert shop.run("git", "cat-file", "-e", base).returncode != 0
    return shop


@pytest.mark.slow
@pytest.mark.parametrize("where", ["of the release", "of a release beside it", "of no release"])
def test_a_base_is_fetched_wherever_it_is(ground: Repository, clone: Clone, where: str) -> None:
    """A product that began between two releases, from a branch of an older one, or from the newest work finds it."""
    ground.write("schema/py.typed", "begun\n")
    ground.write("infra/begun.py", "begun\n")
    if where == "of a release beside it":
        ground.git("checkout", "--quiet", "--detach")
        ground.release("90.0.1")
    else:
        ground.commit("begun")
    shop = _begun_and_forgotten(ground, clone)
    if where != "of the release":
        ground.git("checkout", "--quiet", "-B", "next", f"v{FIRST}")
    ground.write("schema/py.typed", "released\n")
    ground.release(SECOND)
    ground.git("checkout", "--quiet", "main")
    take(shop)
    assert shop.read("schema/py.typed") == "released\n"
    assert (shop.path / "infra/begun.py").exists() == (where == "of the release")


OWNED = ("schema/models/users.py", "migrations/versions/0001_create_tenants_users_and_tenant_features.py", "README.md")


def test_the_products_own_files_are_never_touched(ground: Repository, product: Repository) -> None:
    """What the ground changes, adds, moves or removes among its examples does not arrive; edits of both are none."""
    product.write("tests/product/test_mine.py", '"""Mine."""\n')
    product.write("schema/models/users.py", f"{product.read('schema/models/users.py')}# mine\n")
    product.commit("mine")
    before = product.git("ls-tree", "-r", "HEAD", *OWNED, "schema/models", "tests/product", "infra/product")
    for path in OWNED:
        ground.write(path, "# the ground's\n")
    for path in ("migrations/versions/0002_x.py", "tests/product/test_mine.py", "infra/product/tasks.py"):
        ground.write(path, "# the ground's\n")
    ground.git("mv", "schema/models/features.py", "schema/models/plans.py")
    ground.git("rm", "--quiet", "schema/models/functions.py")
    ground.release(SECOND)
    take(product)
    after = product.git("ls-tree", "-r", "HEAD", *OWNED, "schema/models", "tests/product", "infra/product")
    assert after == before
    assert product.git("diff", "--name-only", "HEAD~", "HEAD").split() == ["pyproject.toml"]


def test_both_sides_edit_pyproject(ground: Repository, product: Repository) -> None:
    """Name, version, dependencies and what the check allows are the product's beside what the ground changes there."""
    product.replace("pyproject.toml", 'version = "0.1.0"', 'version = "7.0.0" # ours\nauthors = [{ name = "Ada" }]')
    product.replace("pyproject.toml", "[tool.ruff]\n", '"app.mine()" = "it returns nothing"\n\n[tool.ruff]\n')
    product.write("pyproject.toml", f'{product.read("pyproject.toml")}\n[tool.mine]\nkey = "value"\n')
    product.commit("ours")
    ground.replace("pyproject.toml", 'description = "', 'description = "Ground: ')
    ground.replace("pyproject.toml", '    "celery>=5.4,<6",\n', "")
    ground.write("pyproject.toml", f'{ground.read("pyproject.toml")}\n[tool.grounds]\nkey = "value"\n')
    ground.release(SECOND)
    take(product)
    merged = tomllib.loads(product.read("pyproject.toml"))
    assert [merged["project"][key] for key in ("name", "version")] == ["shop", "7.0.0"]
    assert merged["project"]["description"] == "The product shop."
    assert not any(each.startswith("celery") for each in merged["project"]["optional-dependencies"]["dev"])
    assert "app.mine()" in merged["tool"]["groundwork"]["isolation"]["allow"]["security-definer"]
    assert merged["tool"]["mine"] == merged["tool"]["grounds"] == {"key": "value"}
    assert '"7.0.0" # ours' in product.read("pyproject.toml")


@pytest.mark.slow
def test_a_product_keeps_the_name_of_its_database(ground: Repository, clone: Clone) -> None:
    """What the ground changes about a function that is allowed arrives under the product's name for it."""
    shop = clone("shop")
    shop.succeed("init", "shop", "--database-name", "our_shop")
    shop.replace("pyproject.toml", 'name = "our_shop"\n', 'name = "our_shop"\nextensions = []\n')
    shop.commit("ours")
    ground.write("pyproject.toml", re.sub(r'sha256 = "\w+"', 'sha256 = "ab12"', ground.read("pyproject.toml")))
    ground.release(SECOND)
    take(shop)
    section = record(shop)
    assert [section[key] for key in ("ground", "name", "extensions")] == [SECOND, "our_shop", []]
    allowed = section["isolation"]["allow"]["security-definer"]
    assert {name: each["sha256"] for name, each in allowed.items()} == {
        "our_shop.keep_tenant_directory()": "ab12",
        "our_shop.resolve_tenant(text,text)": "ab12",
    }


def test_a_conflict_is_named_and_nothing_is_changed(ground: Repository, product: Repository) -> None:
    """Each file that both sides changed stands with what each did; the checkout is as it was, whatever is asked."""
    product.replace(MIXIN, DOC, "Ours.")
    product.write("infra/both.py", "ours\n")
    product.write("schema/py.typed", "ours\n")
    product.commit("ours")
    ground.replace(MIXIN, DOC, "Theirs.")
    ground.write("infra/both.py", "theirs\n")
    ground.git("rm", "--quiet", "schema/py.typed")
    ground.release(SECOND)
    before = product.state()
    done = product.invoke("update", "--yes", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["conflicts"] == [
        {"path": "infra/both.py", "how": "both sides added it"},
        {"path": "schema/py.typed", "how": "you changed it, the ground removed it"},
        {"path": MIXIN, "how": "both sides changed it"},
    ]
    assert "--resolve" in done.stderr
    assert product.state() == before


@pytest.mark.slow
def test_conflicts_are_resolved_in_the_checkout(ground: Repository, product: Repository) -> None:
    """With --resolve both sides stand in the file, the rest is merged, and it is given up or committed by git."""
    product.replace(MIXIN, DOC, "Ours.")
    before = product.commit("ours")
    ground.replace(MIXIN, DOC, "Theirs.")
    ground.write("schema/py.typed", "theirs\n")
    ground.release(SECOND)
    state = product.state()
    said = product.succeed("update", "--resolve").stdout
    assert f"conflict  {MIXIN}" in said
    signs = re.findall(r"^(?:<{7}|={7}|>{7})|Ours|Theirs", product.read(MIXIN), re.MULTILINE)
    assert signs == ["<<<<<<<", "Ours", "=======", "Theirs", ">>>>>>>"]
    product.git("reset", "--merge")
    assert product.state() == state
    product.succeed("update", "--resolve")
    product.git("checkout", "--ours", MIXIN)
    product.commit("resolved")
    assert (product.git("rev-parse", "HEAD~"), record(product)["ground"]) == (before, SECOND)
    assert product.read("schema/py.typed") == "theirs\n"
    assert "nothing to do" in product.succeed("update").stdout


@pytest.mark.slow
def test_names_that_collide_are_conflicts(ground: Repository, product: Repository) -> None:
    """A file where the ground has a folder, and a file that both sides moved, are named and change nothing."""
    product.write("infra/thing", "mine\n")
    product.git("mv", "infra/config/scram.py", "infra/config/ours.py")
    product.commit("ours")
    ground.write("infra/thing/file.py", "theirs\n")
    ground.git("mv", "infra/config/scram.py", "infra/config/theirs.py")
    ground.release(SECOND)
    before = product.state()
    done = product.invoke("update", "--yes", "--json")
    conflicts = {each["path"]: each["how"] for each in json.loads(done.stdout)["conflicts"]}
    assert done.returncode == 1
    assert {path.partition("~")[0] for path in conflicts} == {
        *("infra/thing", "infra/config/scram.py", "infra/config/ours.py", "infra/config/theirs.py")
    }
    assert product.state() == before
    product.succeed("update", "--resolve")
    product.git("reset", "--merge")
    assert product.read("infra/thing") == "mine\n"


@pytest.mark.slow
def test_what_the_product_removed_stays_removed(ground: Repository, product: Repository) -> None:
    """A file of the ground's that the product does without does not come back with its next change, and is named."""
    product.git("rm", "--quiet", "infra/images/wheel.py", ".env.example")
    product.commit("without")
    ground.write("infra/images/wheel.py", f"{ground.read('infra/images/wheel.py')}\n# changed\n")
    ground.release(SECOND)
    done = product.succeed("update", *NO_STEPS, "--yes", "--json")
    assert json.loads(done.stdout)["left_removed"] == ["infra/images/wheel.py"]
    assert product.git("ls-files", "infra/images/wheel.py", ".env.example") == ""
    assert not (product.path / "infra/images/wheel.py").exists()


@pytest.mark.slow
def test_a_moved_file_has_the_changes_of_both(ground: Repository, product: Repository) -> None:
    """Whichever side moves a file, the other side's edit follows it; a file of the product's stays in its folder."""
    product.git("mv", "infra/config/scram.py", "infra/config/passwords.py")
    product.write("infra/images/mine.py", "mine\n")
    product.write("infra/config/streams.py", f"{product.read('infra/config/streams.py')}\n# ours\n")
    product.commit("moved")
    ground.write("infra/config/scram.py", f"{ground.read('infra/config/scram.py')}\n# theirs\n")
    ground.git("mv", "infra/config/streams.py", "infra/config/terminal.py")
    ground.git("mv", "infra/images", "infra/pictures")
    ground.release(SECOND)
    take(product)
    assert product.read("infra/config/passwords.py").endswith("# theirs\n")
    assert product.read("infra/config/terminal.py").endswith("# ours\n")
    assert not (product.path / "infra/config/scram.py").exists()
    assert product.read("infra/images/mine.py") == "mine\n"
    assert (product.path / "infra/pictures/wheel.py").exists()


@pytest.mark.slow
def test_files_of_every_kind_arrive_as_they_are(ground: Repository, product: Repository) -> None:
    """Modes, bytes, links, line ends and odd names are the ground's in what it changes, and the product's in the rest.

    The kind: updates that apply patches, or compare contents alone.
    """
    product.write("windows.txt", "one\r\ntwo\r\n")
    (product.path / "mine.bin").write_bytes(bytes(range(256)))
    (product.path / "mine").symlink_to("windows.txt")
    product.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{ground.path}", "other")
    product.commit("ours")
    (ground.path / "infra/images/postgres/docker-entrypoint.sh").chmod(0o644)
    (ground.path / "tasks.py").chmod(0o755)
    (ground.path / "theirs.bin").write_bytes(bytes(reversed(range(256))))
    (ground.path / "theirs").symlink_to("/nowhere")
    ground.write("ütf 8\tand a tab.txt", "a\r\nb\n")
    Path(os.fsdecode(os.fsencode(ground.path) + b"/latin-\xe9")).write_text("x")
    target = ground.release(SECOND)
    take(product)
    names = ["theirs.bin", "theirs", "tasks.py", "ütf 8\tand a tab.txt", "infra/images/postgres/docker-entrypoint.sh"]
    assert product.git("ls-tree", "HEAD", *names) == product.git("ls-tree", target, *names)
    assert os.access(product.path / "tasks.py", os.X_OK)
    assert Path(os.fsdecode(os.fsencode(product.path) + b"/latin-\xe9")).read_text() == "x"
    assert product.read("windows.txt") == "one\r\ntwo\r\n"
    assert (product.path / "mine").readlink() == Path("windows.txt")
    assert (product.path / "other" / "tasks.py").exists()


@pytest.mark.slow
def test_files_that_git_does_not_know_are_kept(ground: Repository, product: Repository) -> None:
    """Notes beside the code hinder no update; one where a new file would come is named, ignored or not, and kept."""
    product.write("notes.txt", "mine\n")
    ground.write("bench.json", "theirs\n")
    ground.git("add", "--force", "bench.json")
    ground.write("infra/new.py", "theirs\n")
    ground.release(SECOND)
    for path in ("bench.json", "infra/new.py"):
        product.write(path, "mine\n")
        before = product.state()
        done = product.invoke("update", *NO_STEPS, "--yes")
        assert (done.returncode, f"does not know them: {path}" in done.stderr) == (1, True)
        assert product.state() == before
        (product.path / path).unlink()
    take(product)
    assert (product.read("notes.txt"), product.read("infra/new.py")) == ("mine\n", "theirs\n")
