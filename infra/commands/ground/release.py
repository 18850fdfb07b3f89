"""`invoke release`: a version of the ground, as one commit and the tag that `invoke update` looks for."""

import re
from collections.abc import Callable
from pathlib import Path

from infra.commands.ground import changelog, pyproject
from infra.commands.ground.checkout import land, require_clean
from infra.commands.ground.git import Git, GroundError
from infra.commands.ground.trees import read_tree, with_file, write_tree

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def release(checkout: Path, version: str, check: Callable[[], None]) -> str:
    """Commit a version, tag the commit with what the CHANGELOG says of it, and return the tag. Nothing is pushed.

    `check` is called before anything is changed, and raises where the code is not to be released.

    Raises:
        GroundError: the version is no later one, the CHANGELOG says nothing of it, or the checkout is a product's or
            has changes.
    """
    git = Git(checkout)
    head = require_clean(git)
    text = git.text(head, pyproject.PATH)
    document = pyproject.read(text, "this checkout")
    if record := pyproject.record_of(document):
        raise GroundError(
            f"This checkout is the product {document['project']['name']}, on groundwork {record.ground}: releases are "
            "the ground's. Nothing was changed."
        )
    current = str(document["project"]["version"])
    _require_later(git, version, current)
    changes = changelog.between(git.text(head, changelog.PATH), "", version).split("\n\n## ")[0]
    if not changes.startswith(f"## {version}\n\n"):
        raise GroundError(
            f"{changelog.PATH} says nothing of {version}. Nothing was changed. Write what a product has to do for it "
            f"below `## {version}`, above the former versions, commit that and run the command again."
        )
    check()
    commit = head if version == current else _with_version(git, head, text, version)
    land(git, head, commit)
    git.tag(f"v{version}", commit, changes)
    return f"v{version}"


def _require_later(git: Git, version: str, current: str) -> None:
    numbers = _numbers(version)
    if not numbers:
        raise GroundError(f"{version!r} is no version. Nothing was changed. Write three numbers, as 1.2.3.")
    tags = [tag.removeprefix("v") for tag in git("tag", "--list", "v*").split()]
    released = max(filter(_numbers, tags), key=_numbers, default="")
    if released and numbers <= _numbers(released):
        raise GroundError(f"{version} is no later version: {released} is released. Nothing was changed.")
    if numbers < _numbers(current):
        raise GroundError(f"{version} is no later version: pyproject.toml has {current}. Nothing was changed.")


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, none where it is not X.Y.Z."""
    found = _VERSION.fullmatch(version)
    return tuple(map(int, found.groups())) if found else ()


def _with_version(git: Git, head: str, text: str, version: str) -> str:
    tree = with_file(git, read_tree(git, head), pyproject.PATH, pyproject.with_version(text, version))
    return git.commit(write_tree(git, tree), f"Release {version}\n", head)
