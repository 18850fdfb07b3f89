"""`invoke update`: the ground's next version, merged and tried beside the checkout, and taken whole or not at all."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from infra.backends.steps import run_uninterrupted
from infra.commands.ground import changelog, install, pyproject, remote, steps
from infra.commands.ground.checkout import land, require_clean, require_room
from infra.commands.ground.git import Git, GroundError
from infra.commands.ground.merge import Conflict, Merged, merge, step_of_ground
from infra.commands.ground.pyproject import Record
from infra.commands.ground.steps import Result, Step
from infra.commands.ground.trees import read_tree
from infra.commands.ground.worktree import throwaway

Say = Callable[[str], None]
_VERSIONS = "migrations/versions"


@dataclass(frozen=True, slots=True)
class Target:
    """The step that is asked for: from where the product stands to a release, and what of the ground it brings.

    `words` follow `invoke update` to ask for it again.
    """

    git: Git
    head: str
    before: Record
    after: Record
    step: str
    words: str


@dataclass(frozen=True, slots=True)
class Change:
    """A file that the update adds (A), changes (M) or removes (D)."""

    state: str
    path: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """An update that was merged and tried, and the commit that may be taken; empty where none may."""

    target: Target
    changes: tuple[Change, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    left_removed: tuple[str, ...] = ()
    migrations: tuple[str, ...] = ()
    results: tuple[Result, ...] = ()
    reinstall: str = ""
    todo: str = ""
    commit: str = ""


def find(checkout: Path, tag: str, named_remote: str, say: Say) -> Target | None:
    """Return the step to a release, the newest one unless a tag is given; None where the product has it already.

    Objects are fetched; nothing else of the repository is written.

    Raises:
        GroundError: the checkout has changes, is no product's, or the remote has not what is asked for.
    """
    git = Git(checkout)
    head = require_clean(git)
    record = pyproject.record_of(pyproject.read(git.text(head, pyproject.PATH), "this checkout"))
    if record is None:
        raise GroundError("This checkout is no product's yet: nothing says what it began from. Run `invoke init NAME`.")
    source = named_remote or record.remote
    if not source:
        raise GroundError(
            "No remote is recorded to take an update from. Nothing was changed. Name it once, as an address or as one "
            "of git's remotes: `invoke update --remote https://example.com/groundwork.git`."
        )
    say(f"reading the releases of {remote.without_password(source)}")
    known = remote.releases(git, source)
    release = remote.chosen(known, tag, source)
    say(f"fetching {release}")
    remote.fetch(git, source, f"refs/tags/{release}")
    base = remote.fetch_base(git, source, record, known)
    target = git.commit_of(known[release])
    if git("merge-base", target, base, may_fail=True).strip() == target:
        return None
    version = pyproject.read(git.text(target, pyproject.PATH), release)["project"].get("version", "")
    if f"v{version}" != release:
        raise GroundError(
            f"The release {release} says in its pyproject.toml that it is {version}, so that nobody knows what changed "
            "since. Nothing was changed. Ask for another one with --tag: `invoke release` makes them."
        )
    address = remote.address_of(git, source) or remote.without_password(source)
    after = Record(str(version), target, address)
    step = step_of_ground(git, head, target, record._replace(base=base), after)
    words = f"{release} --remote {address}" if address != record.remote else release
    return Target(git, head, record, after, step, words)


@contextmanager
def proposed(target: Target, wanted: Iterable[Step], say: Say) -> Iterator[Proposal]:
    """Merge an update in a throwaway working tree and give what came of it, tried by the wanted steps.

    The working tree is there until the block ends. The checkout is not touched.
    """
    git = target.git
    with throwaway(git, target.head, say) as apart:
        say(f"merging groundwork {target.after.ground} into a copy of the checkout")
        merged = merge(apart, target.step)
        proposal = Proposal(
            target,
            conflicts=merged.conflicts,
            left_removed=merged.left_removed,
            todo=changelog.between(git.text(target.step, changelog.PATH), target.before.ground, target.after.ground),
        )
        if merged.conflicts:
            yield replace(proposal, changes=_changes(apart, target.step, f"{target.step}^"))
        else:
            yield _tried(proposal, apart, [*wanted], say)


def _tried(proposal: Proposal, apart: Git, wanted: list[Step], say: Say) -> Proposal:
    """Run the steps on what was merged, and make the commit that the checkout may be moved to where all pass."""
    target = proposal.target
    merged = apart("write-tree").strip()
    require_room(target.git, target.head, merged)
    python, reinstall, results = _environment(target, apart, merged, wanted, say)
    title = f"update the ground to {target.after.ground}"
    for step in wanted if all(result.passed for result in results) else ():
        say(f"{step} …")
        results.append(steps.run(step, steps.commands_of(step, python, title), apart.folder, target.git.folder))
        say(f"{step} {'passed' if results[-1].passed else 'failed'} ({results[-1].seconds:.0f} s)")
        if step is Step.GENERATE and results[-1].passed:
            apart("add", "--all", "--", _VERSIONS)
    tree = apart("write-tree").strip()
    return replace(
        proposal,
        changes=_changes(apart, tree, target.head),
        migrations=tuple(apart.names("diff-tree", "-r", "--name-only", merged, tree)),
        results=tuple(results),
        reinstall=reinstall,
        commit=_committed(target, tree) if all(result.passed for result in results) else "",
    )


def _environment(
    target: Target, apart: Git, merged: str, wanted: list[Step], say: Say
) -> tuple[str, str, list[Result]]:
    """Return the Python for the steps, how the user's own is brought up to date where it has to be, and what failed."""
    before, after = (pyproject.read(apart.text(tree, pyproject.PATH), "the product") for tree in (target.head, merged))
    files = read_tree(apart, merged)
    pins = [[apart.text(tree, path) for path in install.CONSTRAINTS] for tree in (target.head, merged)]
    if pyproject.dependencies(before) == pyproject.dependencies(after) and pins[0] == pins[1]:
        return sys.executable, "", []
    line = install.line(files, after)
    if not wanted:
        return sys.executable, line, []
    say("installing the changed dependencies into an environment of the copy's own …")
    result = steps.run("install", install.commands(files, after), apart.folder, target.git.folder)
    return str(apart.folder / ".venv" / "bin" / "python"), line, [result]


def _committed(target: Target, tree: str) -> str:
    message = (
        f"Update the ground from {target.before.ground} to {target.after.ground}\n\n"
        f"Its commit is {target.after.base}.\n"
    )
    return target.git.commit(tree, message, target.head)


def _changes(git: Git, tree: str, before: str) -> tuple[Change, ...]:
    parts = git.names("diff-tree", "-r", "--no-renames", "--name-status", before, tree)
    return tuple(Change(state, path) for state, path in zip(parts[::2], parts[1::2], strict=True))


def take(proposal: Proposal) -> None:
    """Move the checkout to an update: its branch gets one commit.

    Raises:
        GroundError: the checkout was changed meanwhile.
    """
    land(proposal.target.git, proposal.target.head, proposal.commit)


def resolve(target: Target) -> tuple[Conflict, ...]:
    """Merge an update into the checkout itself, commit nothing, and leave its conflicts there for the user.

    Raises:
        GroundError: files are in the way; then nothing was changed.
    """
    require_room(target.git, f"{target.step}^", target.step)
    merged: list[Merged] = []
    run_uninterrupted(lambda: merged.append(merge(target.git, target.step)))
    return merged[0].conflicts
