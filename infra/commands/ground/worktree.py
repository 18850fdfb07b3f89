"""A throwaway working tree of a commit, in a place where the next command finds what a killed one left."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.commands.ground.git import Git
from infra.config.identity import Project, state_directory
from infra.stack.locks import project_lock

_PURPOSE = "update"


@contextmanager
def throwaway(git: Git, commit: str, say: Callable[[str], None]) -> Iterator[Git]:
    """Give git in a working tree of a commit, on no branch; remove it at the end, with any stack of its own.

    One at a time; what a killed command left is removed first.
    """
    project = Project.of(git.folder, _PURPOSE)
    # Its stack has a name of its own, so that `up` takes nobody's former stack for that of a checkout which was moved.
    folder = state_directory(project) / f"{_PURPOSE}-{project.id.split('-')[-2]}"
    with project_lock(project, say):
        _remove(git, folder, say)
        try:
            git("worktree", "add", "--quiet", "--detach", str(folder), commit)
            folder.chmod(0o755)  # the servers' user reads what it runs
            yield Git(folder)
        finally:
            _remove(git, folder, say)


def _remove(git: Git, folder: Path, say: Callable[[str], None]) -> None:
    own = Project.of(folder)
    try:
        if state_directory(own).exists():
            from infra.stack import lifecycle

            lifecycle.down(own, say, volumes=True)
    finally:
        git("worktree", "remove", "--force", "--force", str(folder), may_fail=True)
        shutil.rmtree(folder, ignore_errors=True)  # what git did not know as a working tree
