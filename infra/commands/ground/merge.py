"""The three-way merge of an update: what the ground changed since the base, onto what the product has."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from infra.commands.ground import pyproject
from infra.commands.ground.git import Git, GitFailed
from infra.commands.ground.pyproject import Record
from infra.commands.ground.trees import read_tree, with_file, with_owned_of, write_tree

_BASE, _OURS, _THEIRS = "1", "2", "3"  # stages of a file in git's index (git-read-tree, 3-way merge)
_HOW = {
    frozenset({_BASE, _OURS, _THEIRS}): "both sides changed it",
    frozenset({_OURS, _THEIRS}): "both sides added it",
    frozenset({_BASE, _OURS}): "you changed it, the ground removed it",
    frozenset({_OURS}): "you added or moved it, where the ground has something else",
    frozenset({_THEIRS}): "the ground added or moved it, where you have something else",
    frozenset({_BASE}): "both sides moved it",
}
_LEFT_REMOVED = frozenset({_BASE, _THEIRS})


@dataclass(frozen=True, slots=True)
class Conflict:
    """A file that both sides changed so that no program can tell what is meant."""

    path: str
    how: str


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge could not decide, and the files that stay removed though the ground changed them."""

    conflicts: tuple[Conflict, ...]
    left_removed: tuple[str, ...]


def step_of_ground(git: Git, head: str, target: str, before: Record, after: Record) -> str:
    """Return a commit that holds the step from one version of the ground to another as this product would see it.

    Its parent is the base. In both, the product's own files and names are the product's: the step touches none of them.
    """
    product, own = read_tree(git, head), git.text(head, pyproject.PATH)

    def seen(commit: str, record: Record) -> str:
        text = git.text(commit, pyproject.PATH)
        pyproject.read(text, f"the commit {commit}")
        tree = with_owned_of(read_tree(git, commit), product)
        return write_tree(git, with_file(git, tree, pyproject.PATH, pyproject.as_of_product(text, own, record)))

    base = git.commit(seen(before.base, before), f"groundwork {before.ground}\n")
    return git.commit(seen(target, after), f"groundwork {after.ground}\n", base)


def merge(git: Git, step: str) -> Merged:
    """Merge the step of the ground into the working tree and index of a folder; commit nothing.

    What the product removed stays removed. Conflicts are left as git leaves them, with markers.

    Raises:
        GitFailed: git could not merge at all.
    """
    failure = None
    try:
        git("cherry-pick", "--no-commit", "--allow-empty", "--strategy-option=find-renames", step, own_group=True)
    except GitFailed as error:
        failure = error
    stages: dict[str, set[str]] = {}
    for line in git.names("ls-files", "--unmerged"):
        about, _, path = line.partition("\t")
        stages.setdefault(path, set()).add(about.split()[2])
    if failure and not stages:
        raise failure
    removed = sorted(path for path, each in stages.items() if each == _LEFT_REMOVED)
    if removed:
        git("rm", "--quiet", "--force", "--", *(f":(literal){path}" for path in removed))
    conflicts = (Conflict(path, _HOW[frozenset(each)]) for path, each in stages.items() if path not in removed)
    return Merged(tuple(sorted(conflicts, key=lambda each: PurePosixPath(each.path))), tuple(removed))
