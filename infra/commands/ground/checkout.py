"""The user's checkout: what `init` and `update` ask of it before they begin, and the one step that changes it."""

import os
from pathlib import Path

from infra.backends.steps import run_uninterrupted
from infra.commands.ground.git import Git, GroundError
from infra.config.ground import read_ground


def require_clean(git: Git) -> str:
    """Return the commit that a checkout is at and does not differ from; untracked files may be there.

    Raises:
        GroundError: there is no repository, or not this folder's, or no commit, or a file was changed.
    """
    top = git("rev-parse", "--show-toplevel", may_fail=True).rstrip("\n")
    if not top or not Path(top).samefile(git.folder):
        raise GroundError(
            f"{git.folder} is not the top of a git repository, which this command needs: what it changes is one "
            "commit. Nothing was changed. Make it one with `git init`, `git add -A` and `git commit`, "
            "or run the command in a clone."
        )
    head = git.commit_of("HEAD")
    if not head:
        raise GroundError(f"The repository {git.folder} has no commit yet. Commit what is there, then run this again.")
    if changed := _changed(git):
        shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        raise GroundError(
            f"These files are not committed: {shown}. Nothing was changed. Commit them or put them aside "
            "(`git stash -u`), then run the command again."
        )
    return head


def _changed(git: Git) -> list[str]:
    """Name the files that differ from the last commit, and those that git does not know where `generate` reads them."""
    lines = git.names("status", "--porcelain", "--no-renames", "--untracked-files=all", "--ignore-submodules=none")
    states = ((line[:2], line[3:]) for line in lines)
    # A file there that git does not know would be missing in what an update writes.
    models = read_ground(git.folder / "pyproject.toml").models.replace(".", "/")
    read = (f"{models}/", "migrations/versions/")
    return [path for state, path in states if state != "??" or path.startswith(read)]


def require_room(git: Git, head: str, commit: str) -> None:
    """Refuse a commit that adds files where the checkout has some that git does not know: they would be overwritten.

    Raises:
        GroundError: names them.
    """
    added = git.names("diff-tree", "-r", "--no-renames", "--diff-filter=A", "--name-only", head, commit)
    known = set(git.names("ls-files"))
    in_the_way = [path for path in added if path not in known and os.path.lexists(git.folder / path)]
    if in_the_way:
        raise GroundError(
            f"These files are in the way of new ones, and git does not know them: {', '.join(in_the_way)}. "
            "Nothing was changed. Move or remove them, then run the command again."
        )


def land(git: Git, head: str, commit: str) -> None:
    """Move the checkout, and its branch if it is on one, from one commit to another: whole, or not at all.

    `git reset --keep ORIG_HEAD` takes it back.

    Raises:
        GroundError: the checkout was changed since it was looked at.
    """
    if require_clean(git) != head:
        raise GroundError(
            "Somebody committed to this checkout meanwhile. Nothing was changed. Run the command again: "
            "it begins from the new commit."
        )
    require_room(git, head, commit)
    run_uninterrupted(lambda: _move(git, commit))


def _move(git: Git, commit: str) -> None:
    git("reset", "--quiet", "--keep", commit, own_group=True)
