"""`invoke update`: the ground's next release arrives whole or not at all, and nothing of the product is lost."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from infra.config.identity import Project, state_directory
from infra.config.settings import BackendChoice
from tests.kit.checkout import copy_parts
from tests.kit.repositories import ALL_STEPS, FIRST, NO_STEPS, SECOND, Clone, Repository, update_folder
from tests.kit.world import things_of

MIXIN = "schema/tenancy/mixin.py"
ONLY_LINT = tuple(word for step in ("generate", "check", "tests") for word in ("--skip", step))
DOC = "Give a model its tenant and its two timestamps, and have its table isolated by the migrations."


def take(product: Repository, *words: str) -> None:
    """Take the newest release, untried, and claim that nothing is left of the way there."""
    notes = product.git("for-each-ref")
    product.succeed("update", *words, *NO_STEPS, "--yes")
    others = [line for line in product.git("for-each-ref").split("\n") if "refs/heads/main" not in line]
    assert others == [line for line in notes.split("\n") if "refs/heads/main" not in line]
    assert product.git("status", "--porcelain", "--untracked-files=no") == ""
    assert len(product.git("worktree", "list").splitlines()) == 1
    assert not update_folder(product.path).parent.exists()
    assert not (product.path / ".git" / "FETCH_HEAD").exists()


def record(product: Repository) -> dict[str, Any]:
    """Return what a product has recorded of its base."""
    section: dict[str, Any] = tomllib.loads(product.read("pyproject.toml"))["tool"]["groundwork"]
    return section


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


@pytest.mark.slow
@pytest.mark.parametrize("path", ["constraints.txt", "notes.txt", "schema/models/draft.py"])
def test_a_checkout_with_changes_is_refused(ground: Repository, product: Repository, path: str) -> None:
    """What is changed, staged, or a model that is not committed is named, and left as it is."""
    ground.release(SECOND)
    product.write(path, "# mine\n")
    if path == "notes.txt":
        product.git("add", path)
    before = product.state()
    done = product.invoke("update", "--yes", *NO_STEPS)
    assert (done.returncode, f"not committed: {path}." in done.stderr) == (1, True)
    assert product.state() == before


@pytest.mark.slow
def test_what_cannot_be_fetched_is_refused(ground: Repository, product: Repository, clone: Clone) -> None:
    """A tag or remote that is not there, a remote without releases, and a checkout that is nobody's change nothing."""
    ground.release(SECOND)
    empty = Repository(ground.path.parent / "empty")
    empty.path.mkdir()
    empty.git("init", "--quiet")
    before = product.state()
    for words, said in {
        ("v9.9.9",): f"its newest are v{FIRST}, v{SECOND}",
        ("--tag", "main"): "has no release main",
        ("--remote", "file:///nowhere"): "file:///nowhere cannot be read",
        ("--remote", str(empty.path)): "has no release: no tag",
        ("--remote", "--upload-pack=touch /tmp/x"): "cannot be read",
        ("--skip", "everything"): "generate, lint, check, tests",
    }.items():
        done = product.invoke("update", *words)
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert product.state() == before
    nobodys = clone("nobodys")
    assert "invoke init NAME" in nobodys.invoke("update").stderr
    nobodys.git("remote", "remove", "origin")
    nobodys.succeed("init", "shop")
    assert "--remote" in nobodys.invoke("update").stderr


@pytest.mark.slow
def test_what_the_product_has_is_not_taken_again(ground: Repository, product: Repository) -> None:
    """The newest release that is there already, and an older one, are nothing to do."""
    assert "nothing to do" in product.succeed("update").stdout
    for version in ("100.0.0", SECOND, "99.0.0"):
        ground.write("schema/py.typed", version)
        ground.release(version)
    take(product, "v99.0.0")
    head = product.head
    assert "nothing to do" in product.succeed("update", f"v{SECOND}", "--yes").stdout
    assert product.head == head


@pytest.mark.slow
def test_the_newest_release_is_found_by_its_number(ground: Repository, product: Repository) -> None:
    """It is neither the last tag by date nor by letters, nor what is no release."""
    for version in ("91.2.0", "91.10.0", "91.9.9"):
        ground.write("schema/py.typed", version)
        ground.release(version)
    for tag in ("v99.0.0-rc1", "nightly", "v99"):
        ground.git("tag", tag)
    take(product)
    assert record(product)["ground"] == "91.10.0"


@pytest.mark.slow
def test_a_remote_is_remembered(ground: Repository, product: Repository, tmp_path: Path) -> None:
    """The one that was given once is where the next update looks; one of git's is recorded by its address."""
    moved = Repository(tmp_path / "moved")
    ground.release(SECOND)
    ground.path.rename(moved.path)
    product.git("remote", "add", "upstream", str(moved.path))
    take(product, "--remote", "upstream")
    assert record(product)["remote"] == str(moved.path)
    moved.write("schema/py.typed", "moved\n")
    moved.release("92.0.0")
    take(product)
    assert product.read("schema/py.typed") == "moved\n"


@pytest.mark.slow
def test_a_plan_changes_nothing(ground: Repository, product: Repository) -> None:
    """It shows the files and what the CHANGELOG says for the versions between, and leaves the checkout as it is."""
    ground.write("schema/py.typed", "changed\n")
    ground.write(".github/CHANGELOG.md", f"# Changes\n\n## {SECOND}\n\nNew.\n\n## {FIRST}\n\nOld.\n")
    ground.release(SECOND)
    before = product.state()
    shown = json.loads(product.succeed("update", "--plan", "--json").stdout)
    assert {"state": "M", "path": "schema/py.typed"} in shown["changes"]
    assert (shown["todo"], shown["applied"], shown["steps"]) == (f"## {SECOND}\n\nNew.", False, [])
    assert product.state() == before


@pytest.mark.slow
def test_nobody_to_ask_takes_nothing(ground: Repository, product: Repository) -> None:
    """Without --yes the result is shown, and the checkout stays as it is where nobody can answer."""
    ground.release(SECOND)
    before = product.state()
    done = product.run("setsid", "--wait", sys.executable, "-m", "invoke", "update", *NO_STEPS)
    assert (done.returncode, "--yes" in done.stderr, "pyproject.toml" in done.stdout) == (1, True, True)
    assert product.state() == before


@pytest.mark.slow
def test_a_detached_head_is_moved(ground: Repository, product: Repository) -> None:
    """Where the checkout is on no branch, it alone is moved."""
    branch = product.head
    product.git("checkout", "--quiet", "--detach")
    target = ground.release(SECOND)
    product.succeed("update", *NO_STEPS, "--yes")
    assert (product.git("rev-parse", "main"), record(product)["base"]) == (branch, target)


@pytest.mark.slow
def test_a_working_tree_of_a_working_tree_is_updated(ground: Repository, product: Repository) -> None:
    """A linked working tree is moved, the main one is not."""
    linked = Repository(product.path.parent / "linked")
    product.git("worktree", "add", "--quiet", "-b", "next", str(linked.path))
    before = product.state()
    target = ground.release(SECOND)
    linked.succeed("update", *NO_STEPS, "--yes")
    assert record(linked)["base"] == target
    product.git("worktree", "remove", str(linked.path))
    product.git("branch", "--quiet", "-D", "next")
    del before["worktree list"], before["for-each-ref"]
    assert product.state().items() >= before.items()


@pytest.mark.slow
def test_a_shallow_clone_is_updated(ground: Repository, clone: Clone) -> None:
    """A clone that has the last commit alone finds the base all the same."""
    ground.write("schema/py.typed", "later\n")
    ground.commit("later")
    shop = clone("shop", "--depth=1")
    shop.succeed("init", "shop")
    ground.write("schema/py.typed", "released\n")
    ground.release(SECOND)
    take(shop)
    assert shop.read("schema/py.typed") == "released\n"


@pytest.mark.slow
def test_hooks_neither_mislead_nor_are_run(ground: Repository, product: Repository) -> None:
    """What git sets for a hook leads to no other repository, and the user's hooks are for the user's own commits."""
    for name in ("post-checkout", "pre-commit", "post-merge", "reference-transaction", "post-commit"):
        hook = product.path / ".git" / "hooks" / name
        hook.write_text('#!/bin/sh\necho "$0" >> "$(dirname "$0")/../../ran"\nexit 1\n')
        hook.chmod(0o755)
    ground.release(SECOND)
    elsewhere = ground.state()
    of_a_hook = {
        "GIT_DIR": str(ground.path / ".git"),
        "GIT_WORK_TREE": str(ground.path),
        "GIT_INDEX_FILE": str(ground.path / ".git" / "index"),
    }
    done = product.invoke("update", *NO_STEPS, "--yes", **of_a_hook)
    assert done.returncode == 0, done.stderr
    assert record(product)["ground"] == SECOND
    assert not (product.path / "ran").exists()
    assert ground.state() == elsewhere


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
