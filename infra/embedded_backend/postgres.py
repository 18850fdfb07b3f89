"""PostgreSQL as a plain process: its data folder and its command line."""

import os
import shutil
import signal
from pathlib import Path

from infra.embedded_backend.binaries import PostgresBinaries
from infra.embedded_backend.process import Account, run
from infra.embedded_backend.server import Launch
from infra.endpoints import HOST
from infra.errors import StackError
from infra.secret import Secret
from infra.spec import PostgresSpec, Service
from infra.volumes import MARKER, refuse_other_major

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
    try:
        refuse_other_major(str(directory), (directory / "PG_VERSION").read_text(encoding="ascii").strip())
    except FileNotFoundError:
        return False
    return (directory / MARKER).exists()


def initialise(spec: PostgresSpec, binaries: PostgresBinaries, directory: Path, account: Account | None) -> None:
    """Make the data folder anew; what an unfinished attempt left is removed.

    Raises:
        StackError: initdb failed.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    password_file = directory.with_name("initdb-password")
    password_file.touch(mode=0o600)
    try:
        password_file.write_text(spec.password.reveal() + "\n", encoding="utf-8")
        if account is not None:
            os.chown(directory, account.uid, account.gid)
            os.chown(password_file, account.uid, account.gid)
        run(
            (
                *(binaries.program("initdb"), "--pgdata", str(directory), "--username", spec.user),
                *("--pwfile", str(password_file), "--auth", "scram-sha-256", "--no-instructions", "--no-sync"),
                *spec.initdb,
            ),
            directory,
            account,
        )
    finally:
        password_file.unlink()


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
