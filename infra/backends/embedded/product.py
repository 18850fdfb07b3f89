"""The product's servers as plain processes: which program there is for them, and how each is started."""

import os
import shutil
import signal
import stat
import sys
from contextlib import ExitStack
from pathlib import Path

from infra.backends.data_directory import MADE
from infra.backends.embedded.folder import remove_made
from infra.backends.embedded.process import Account
from infra.backends.embedded.server import Launch
from infra.config.endpoints import HOST
from infra.config.errors import ConfigError
from infra.config.identity import Service
from infra.config.secret import Secret
from infra.declaration.service import Places, ProductService
from infra.declaration.spec import StackSpec


def missing_programs(spec: StackSpec, account: Account | None) -> dict[Service, str]:
    """Return the servers that no program is there for which `account` may run, each with the reason."""
    found = {}
    for service in spec.services:
        program = service.declared.program
        if not program:
            found[service.service] = "it names no program"
        elif _path(program[0], account) is None:
            whose = f" that {account.name}, as whom servers run, may run" if account else ""
            found[service.service] = f"there is no program {program[0]} on the PATH{whose}"
    return found


def _path(program: str, account: Account | None) -> str | None:
    """Return where a program is: those of this Python's environment come first, activated or not."""
    folders = (str(Path(sys.executable).parent), *os.environ.get("PATH", os.defpath).split(os.pathsep))
    found = filter(None, (shutil.which(program, path=folder) for folder in folders))
    return next((path for path in found if account is None or _may_run(account, Path(path))), None)


def _may_run(account: Account, program: Path) -> bool:
    """Return whether a user may run a file, as its mode and those of the folders above say; links are followed."""
    for path in {program, *program.absolute().parents, program.resolve(), *program.resolve().parents}:
        found = path.stat()
        shift = 6 if found.st_uid == account.uid else 3 if found.st_gid == account.gid else 0
        if not found.st_mode >> shift & stat.S_IXOTH:
            return False
    return True


def launch(spec: StackSpec, service: ProductService, directory: Path, account: Account | None) -> Launch:
    """Read a declaration as a process.

    Raises:
        ConfigError: its program is gone since it was looked for.
    """
    declared, name = service.declared, service.service
    program = _path(declared.program[0], account)
    if program is None:
        raise ConfigError(f"There is no program {declared.program[0]} on the PATH any more. Run `invoke up` again.")
    ports = {inside: port for inside, port in zip(declared.ports, service.ports, strict=True) if port is not None}
    fill = Places(name, HOST, str(directory), dict.fromkeys(spec.ports, HOST), spec.ports).fill
    return Launch(
        service=name,
        directory=directory,
        command=(program, *map(fill, declared.program[1:])),
        config="",
        password_line=Secret(),
        port=ports[declared.ports[0]],
        stop_signal=signal.SIGTERM,
        stop_seconds=10.0,
        environment=tuple((key, fill(text)) for key, text in declared.environment.items()),
        secrets=tuple((variable, secret) for variable, _, secret in service.secrets),
        further_ports=tuple(ports.items())[1:],
    )


def make_folder(directory: Path, *beside: Path, account: Account | None, undo: ExitStack) -> None:
    """Make the folder that a server works in and keeps its data in; what was restored there beforehand stays."""
    if directory.exists():
        return
    undo.callback(remove_made, directory, *beside)
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.parent.chmod(0o711)
    # Beside the folder: a server may refuse one that is not empty.
    (directory.parent / MADE).touch()
    directory.mkdir(mode=0o700)
    if account is not None:
        os.chown(directory, account.uid, account.gid)
