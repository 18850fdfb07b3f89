"""Which release `invoke update` takes, from where, and into what kind of checkout."""

import json
import sys
from pathlib import Path

import pytest

from tests.kit.repositories import FIRST, NO_STEPS, SECOND, Clone, Repository, record, take


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
