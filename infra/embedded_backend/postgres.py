"""PostgreSQL as a plain process: its data folder and its command line."""

import hashlib
import os
import secrets
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from infra.embedded_backend.binaries import PostgresBinaries, wheel_version
from infra.embedded_backend.process import Account, run
from infra.embedded_backend.server import Launch
from infra.endpoints import HOST
from infra.errors import StackError
from infra.secret import Secret
from infra.spec import MAINTENANCE_DATABASE, PostgresSpec, Service
from infra.superuser import statements_for
from infra.volumes import MARKER, Data, refuse_other_major

MEMORY = Path("/dev/shm")  # noqa: S108 - the machine's tmpfs, where PostgreSQL shares memory between its processes


def launch(spec: PostgresSpec, binaries: PostgresBinaries, directory: Path) -> Launch:
    """Read the declaration as a process. TCP only: a socket's path would be limited to 107 bytes."""
    assert spec.port is not None  # noqa: S101 - the stack gives every embedded server its port
    return Launch(
        service=Service.POSTGRES,
        directory=directory,
        command=(
            binaries.program("postgres"),
            "-D",
            str(directory),
            *spec.arguments,
            *("-c", f"port={spec.port}"),
            *("-c", f"listen_addresses={HOST}"),
            *("-c", "unix_socket_directories="),
            *(() if os.access(MEMORY, os.W_OK) else ("-c", "dynamic_shared_memory_type=mmap")),
        ),
        config="",
        password_line=Secret(),
        port=spec.port,
        # Fast shutdown: sessions are ended, the data is left clean (PostgreSQL manual, 19.5 Shutting Down the Server).
        stop_signal=signal.SIGINT,
        stop_seconds=spec.stop_timeout.total_seconds(),
    )


def is_complete(directory: Path) -> bool:
    """Tell whether the data was finished once; refuse that of another major version.

    Raises:
        StackError: the data is another major version's.
    """
    found = read_data(directory)
    if found is None or found.version is None:
        return False
    refuse_other_major(found.where, found.version)
    return found.complete


def read_data(directory: Path) -> Data | None:
    """Return what a data folder says of itself, None where there is none."""
    if not directory.is_dir():
        return None
    try:
        version = (directory / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        version = None
    return Data(str(directory), version, (directory / MARKER).exists())


def initialise(
    spec: PostgresSpec, binaries: PostgresBinaries, directory: Path, templates: Path, account: Account | None
) -> None:
    """Make the data folder anew; what an unfinished attempt left is removed.

    It is copied from a template of the same programs and settings, which takes a fraction of initdb's time; the copy
    gets the password.

    Raises:
        StackError: a program failed.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    if account is not None:
        os.chown(directory, account.uid, account.gid)
    template = _template(spec, binaries, templates, account)
    run(("cp", "-R", "-p", f"{template}/.", str(directory)), directory, account)
    administer(binaries, directory, statements_for(spec.user, spec.password), account)


def administer(binaries: PostgresBinaries, directory: Path, statements: Sequence[str], account: Account | None) -> None:
    """Run statements, a line each, in single-user mode (PostgreSQL manual, postgres(1)); no server may be running.

    Raises:
        StackError: the program failed.
    """
    command = (binaries.program("postgres"), "--single", "-D", str(directory), MAINTENANCE_DATABASE)
    run(command, directory, account, text="".join(f"{line}\n" for line in statements))


def _template(spec: PostgresSpec, binaries: PostgresBinaries, templates: Path, account: Account | None) -> Path:
    """Return a folder that initdb filled for these programs and settings; fill it where there is none."""
    made_from = "\0".join((wheel_version(), spec.user, *spec.initdb, account.name if account else ""))
    template = templates / hashlib.sha256(made_from.encode()).hexdigest()[:16]
    if template.exists():
        return template
    draft = template.with_name(f"{template.name}.{os.getpid()}.tmp")
    password_file = draft.with_name(f"{draft.name}.password")
    draft.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    try:
        # initdb asks for a password where passwords are to be asked for; nobody is told this one.
        password_file.write_text(secrets.token_urlsafe(32), encoding="ascii")
        if account is not None:
            os.chown(draft, account.uid, account.gid)
            os.chown(password_file, account.uid, account.gid)
        options = ("--pwfile", str(password_file), "--auth", "scram-sha-256", "--no-instructions", "--no-sync")
        words = (binaries.program("initdb"), "--pgdata", str(draft), "--username", spec.user, *options, *spec.initdb)
        run(words, draft, account)
        with suppress(OSError):  # another command was faster, and its template is as good
            draft.rename(template)
    finally:
        password_file.unlink()
        shutil.rmtree(draft, ignore_errors=True)
    return template


def forget_dead_server(directory: Path) -> None:
    """Remove the lock file of a server that is gone.

    PostgreSQL asks only whether a process of that id lives, which after a crash may be anybody's. The caller has seen
    that none works in this folder.
    """
    (directory / "postmaster.pid").unlink(missing_ok=True)


def server_pid(directory: Path) -> int | None:
    """Return the id of the process that holds the data folder, by its lock file; it need not live."""
    try:
        return int((directory / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0])
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StackError(
            f"{directory / 'postmaster.pid'} cannot be read ({type(error).__name__}). Look at it."
        ) from None
