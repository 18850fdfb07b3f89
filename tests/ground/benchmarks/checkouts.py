"""Folders to run `invoke` in: copies of the project with passwords of their own, and one with a task that is empty."""

import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from infra.config.endpoints import admin_url, role_url
from infra.config.identity import OUR_SERVICES, Project, Service
from infra.config.settings import CHECKOUT, BackendChoice, Role, Settings, write_env_file
from infra.config.urls import DatabaseUrl
from tests.ground.benchmarks.cases import Side
from tests.ground.benchmarks.commands import Command, run
from tests.ground.benchmarks.machine import free_ports
from tests.kit.checkout import _PARTS

_BARE_TASK = '''\
from invoke.tasks import task


@task
def nothing(_):
    """Do nothing."""
'''


@dataclass(slots=True)
class Checkout:
    """A copy of the project; `environ` is what its commands are told, `folder` a link to where it is."""

    folder: Path
    environ: dict[str, str]

    def move_on(self) -> None:
        """Go on in another copy, which has another project; bytecode goes with it, the former copy stays."""
        former = self.folder.resolve()
        copy = Path(tempfile.mkdtemp(prefix=f"{self.folder.name}-", dir=former.parent))
        shutil.copytree(former, copy, dirs_exist_ok=True)
        self.folder.unlink()
        self.folder.symlink_to(copy)

    @property
    def settings(self) -> Settings:
        """What the copy's commands read."""
        return Settings.load(self.folder / ".env", self.environ)

    def project(self, purpose: str = "") -> Project:
        """Return the copy's project, or with `purpose` another one that belongs to it."""
        return Project.of(self.folder, purpose)

    @property
    def admin(self) -> DatabaseUrl:
        """The superuser's URL, where ports are set."""
        return admin_url(self.settings, self._ports)

    def url(self, role: Role) -> DatabaseUrl:
        """Return the URL of a role, where ports are set."""
        return role_url(self.settings, self._ports, role)

    @property
    def _ports(self) -> dict[Service, int]:
        return {service: int(self.environ[_port_key(service)]) for service in OUR_SERVICES}

    def choose_ports(self) -> None:
        """Set ports that nobody uses."""
        ports = free_ports(self.settings, self.project())
        self.environ.update({_port_key(service): str(port) for service, port in ports.items()})

    def invoke(self, *words: str) -> Command:
        """Return `invoke …` in the copy."""
        return invoke(self.folder, *words, **self.environ)


def invoke(folder: Path, *words: str, **environ: str) -> Command:
    """Return `invoke …` in a folder."""
    return Command((sys.executable, "-m", "invoke", *words), folder, environ)


def copy_project(name: str, undo: ExitStack, **environ: str) -> Checkout:
    """Copy the project into a folder of this name and give it passwords."""
    folder = _folder(undo) / name
    copy = folder.with_name(f"{name}-first")
    for part in _PARTS:
        source, target = CHECKOUT / part, copy / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    write_env_file(copy)
    folder.symlink_to(copy)
    return Checkout(folder, environ)


def served_project(name: str, undo: ExitStack) -> Checkout:
    """Copy the project into a folder of this name and bring its stack up, as plain processes."""
    checkout = copy_project(name, undo, STACK_BACKEND=BackendChoice.EMBEDDED)
    checkout.choose_ports()
    undo.callback(run, checkout.invoke("down", "--volumes", "--yes"))
    run(checkout.invoke("up"))
    return checkout


def bare_task(undo: ExitStack) -> Side:
    """Return what every task costs before it does anything: the floor of all others."""
    folder = _folder(undo)
    (folder / "tasks.py").write_text(_BARE_TASK, encoding="utf-8")
    return Side("a bare invoke task", invoke(folder, "nothing"))


def _port_key(service: Service) -> str:
    return f"{service.upper()}_PORT"


def _folder(undo: ExitStack) -> Path:
    return Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="groundwork-bench-")))
