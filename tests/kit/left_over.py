"""What runs of the tests leave: each stack is noted before it is made; the next run removes what a killed one left.

The notes are beside the stacks' own state: a folder for each process that runs tests, a file for each project in it.
The process holds the folder's lock, so that the folder of one that was killed is known.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TextIO
from uuid import uuid4

from infra.backends.embedded.postgres import MEMORY
from infra.config.identity import OUR_SERVICES, Project, state_directory
from infra.config.settings import BackendChoice
from infra.stack.lifecycle import make_backend
from tests.kit.availability import LACKS
from tests.kit.world import engine

_PURPOSES = ("", "-test", "-shadow")
_PREFIX = "groundwork-"
_LOCK = "lock"


def _runs() -> Path:
    return state_directory(Project("any", "")).parent / "test-runs"


@cache
def _this_run() -> tuple[Path, TextIO]:
    """Make this process's folder; its lock is held until the process ends."""
    folder = _runs() / uuid4().hex
    draft = folder.with_name(f".{folder.name}")  # which another run does not take for a dead one's: it has no lock yet
    draft.mkdir(parents=True)
    lock = (draft / _LOCK).open("w", encoding="ascii")
    fcntl.flock(lock, fcntl.LOCK_EX)
    draft.rename(folder)
    return folder, lock


def note(project: Project) -> None:
    """Note that this run may make a stack of `project`."""
    folder, _ = _this_run()
    (folder / project.id).write_text(project.path, encoding="utf-8", errors="surrogateescape")


def remove_of_dead_runs() -> None:
    """Remove what the runs left that have ended without doing so themselves."""
    for folder in _runs().glob("[!.]*"):
        # It is held by a run that lives, or another run was here first.
        with suppress(BlockingIOError, FileNotFoundError), (folder / _LOCK).open("a", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)


def remove_of_this_run() -> None:
    """Remove what this run's tests left."""
    if _this_run.cache_info().currsize:
        folder, lock = _this_run()
        _remove(folder)
        lock.close()


def _remove(run: Path) -> None:
    for noted in set(run.iterdir()) - {run / _LOCK}:
        for project in _still_there(noted.name, noted.read_text(encoding="utf-8", errors="surrogateescape")):
            remove_everything(project)
    shutil.rmtree(run)


def _still_there(project_id: str, path: str) -> Iterator[Project]:
    """Yield the stacks of a checkout, those of its own tests included, of which there is anything."""
    ids = {f"{project_id}{purpose}" for purpose in _PURPOSES}
    ids |= {found.name for found in _runs().parent.glob(f"{project_id}-*")}
    ids |= {found.name.removeprefix(_PREFIX) for found in MEMORY.glob(f"{_PREFIX}{project_id}*")}
    for found in sorted(ids):
        project = Project(found, path)
        folders = (state_directory(project), MEMORY / f"{_PREFIX}{found}")
        if any(folder.exists() for folder in folders) or _on_the_engine(project):
            yield project


def _on_the_engine(project: Project) -> bool:
    if LACKS[BackendChoice.DOCKER]() is not None:
        return False
    with engine() as client:
        named = {"name": f"{project.id}-"}
        return bool(client.containers(all=True, filters=named) or client.volumes(filters=named)["Volumes"])


def remove_everything(project: Project) -> None:
    """Remove a stack of the tests from both backends, with what `down` keeps because `up` did not make it."""
    for choice in BackendChoice.DOCKER, BackendChoice.EMBEDDED:
        if LACKS[choice]() is None:
            for durable in (True, False):
                make_backend(choice, project, durable=durable).down(volumes=True)
    if LACKS[BackendChoice.DOCKER]() is None:
        with engine() as client:
            for service in OUR_SERVICES:
                with suppress(Exception):  # there is none, or a container that is somebody else's has it
                    client.remove_volume(f"{project.id}-{service}")
    shutil.rmtree(state_directory(project), ignore_errors=True)
