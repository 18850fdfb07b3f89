"""Folders to run `invoke` in: copies of the project with passwords of their own, and one with a task that is empty."""

import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from infra.settings import CHECKOUT, Settings, write_env_file
from infra.spec import Project
from tests.benchmarks.cases import Side
from tests.benchmarks.commands import Command
from tests.fixtures.checkout import _PARTS

_BARE_TASK = '''\
from invoke.tasks import task


@task
def nothing(_):
    """Do nothing."""
'''


@dataclass(slots=True)
class Checkout:
    """A copy of the project; `environ` is what its commands are told."""

    folder: Path
    environ: dict[str, str]

    @property
    def settings(self) -> Settings:
        """What the copy's commands read."""
        return Settings.load(self.folder / ".env", self.environ)

    def project(self, purpose: str = "") -> Project:
        """Return the copy's project, or with `purpose` another one that belongs to it."""
        return Project.of(self.folder, purpose)

    def invoke(self, *words: str) -> Command:
        """Return `invoke …` in the copy."""
        return invoke(self.folder, *words, **self.environ)


def invoke(folder: Path, *words: str, **environ: str) -> Command:
    """Return `invoke …` in a folder."""
    return Command((sys.executable, "-m", "invoke", *words), folder, environ)


def copy_project(name: str, undo: ExitStack, **environ: str) -> Checkout:
    """Copy the project into a folder of this name and give it passwords."""
    folder = _folder(undo) / name
    for part in _PARTS:
        source, target = CHECKOUT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    write_env_file(folder)
    return Checkout(folder, environ)


def bare_task(undo: ExitStack) -> Side:
    """Return what every task costs before it does anything: the floor of all others."""
    folder = _folder(undo)
    (folder / "tasks.py").write_text(_BARE_TASK, encoding="utf-8")
    return Side("a bare invoke task", invoke(folder, "nothing"))


def _folder(undo: ExitStack) -> Path:
    return Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="groundwork-bench-")))
