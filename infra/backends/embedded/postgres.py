"""PostgreSQL as a plain process: its data folder and its command line."""

import hashlib
import os
import secrets
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from shlex import quote

from infra.backends.data_directory import (
    CONTROL_FILE,
    LOCK_FILE,
    MADE,
    MARKER,
    Content,
    Data,
    identifier_of,
    judge_postgres,
    refuse_other,
    server_of,
)
from infra.backends.embedded.binaries import PostgresBinaries, shell_safe, wheel_version
from infra.backends.embedded.folder import any_entry, empty, read, readable
from infra.backends.embedded.process import COPY, Account, run
from infra.backends.embedded.server import Launch
from infra.backends.preload import refuse_missing
from infra.backends.superuser import statements_for
from infra.config.endpoints import HOST
from infra.config.identity import Service
from infra.config.secret import Secret
from infra.config.settings import MAINTENANCE_DATABASE
from infra.declaration.spec import PostgresSpec

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


def is_complete(directory: Path, version: int) -> bool:
    """Return whether a server may be started on the data; where it may not, `up` may make the data in that folder.

    Raises:
        StackError: the data is another major version's, or something else is there that `up` must not replace.
    """
    found = read_data(directory)
    if found is None:
        return False
    refuse_other(Service.POSTGRES, found, version)
    return found.complete


def read_data(directory: Path) -> Data | None:
    """Return what a data folder says of itself, None where there is none.

    Raises:
        StackError: it cannot be read.
    """
    if not directory.is_dir():
        return None
    with readable(directory):
        version, made, control = (read(directory / name) for name in ("PG_VERSION", MADE, CONTROL_FILE))
        content = Content(
            version=version.decode("ascii", "replace").strip() if version is not None else None,
            marked=(directory / MARKER).exists(),
            made=made.decode("ascii", "replace") if made is not None else None,
            identifier=identifier_of(control),
            entry=any_entry(directory),
        )
    found = judge_postgres(str(directory), content, ours=content.made is not None)
    return found._replace(remove=f"rm -r {quote(str(directory))}")


def refuse_missing_libraries(directory: Path, binaries: PostgresBinaries) -> None:
    """Refuse data that asks for a library which these programs do not have.

    Raises:
        StackError: it asks for one.
    """
    own = binaries.folder.parent / "lib" / "postgresql"

    def content(file: str) -> str | None:
        found = read(directory / file)
        return None if found is None else found.decode(errors="replace")

    refuse_missing(
        str(directory),
        content,
        lambda library: (own / library).exists(),  # an absolute path stays what it is
        lambda file: f"sed -i /shared_preload_libraries/d {quote(str(directory / file))}",
    )


def initialise(
    spec: PostgresSpec, binaries: PostgresBinaries, directory: Path, templates: Path, account: Account | None
) -> None:
    """Make the data folder, which is empty or of an attempt that was never finished: what that left is removed.

    It is copied from a template of the same programs and settings, which takes a fraction of initdb's time; the copy
    gets the password.

    Raises:
        StackError: a program failed.
    """
    directory.mkdir(exist_ok=True)
    directory.chmod(0o700)
    empty(directory)
    if account is not None:
        os.chown(directory, account.uid, account.gid)
    template = _template(spec, binaries, templates, account)
    identifier = identifier_of((template / CONTROL_FILE).read_bytes())
    (directory / MADE).write_text(identifier or "", encoding="ascii")
    run((*COPY, f"{template}/.", str(directory)), directory, account)
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
    made_from = "\0".join(
        (str(spec.version), wheel_version(), spec.user, *spec.initdb, account.name if account else "")
    )
    template = templates / hashlib.sha256(made_from.encode()).hexdigest()[:16]
    if template.exists():
        return template
    draft = template.with_name(f"{template.name}.{os.getpid()}.tmp")
    password_file = draft.with_name(f"{draft.name}.password")
    draft.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    try:
        # initdb asks for a password where passwords are to be asked for; this one is kept nowhere.
        password_file.write_text(secrets.token_urlsafe(32), encoding="ascii")
        if account is not None:
            os.chown(draft, account.uid, account.gid)
            os.chown(password_file, account.uid, account.gid)
        options = ("--pwfile", str(password_file), "--auth", "scram-sha-256", "--no-instructions", "--no-sync")
        described = ("--pgdata", str(draft), "--username", spec.user, *options, *spec.initdb)
        with shell_safe(binaries) as programs:
            run((programs.program("initdb"), *described), draft, account)
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
    (directory / LOCK_FILE).unlink(missing_ok=True)


def server_pid(directory: Path) -> int | None:
    """Return the id of the process that holds the data folder, by its lock file; it need not live.

    A power cut may have emptied the file or filled it with zeros, and a server that is just starting writes it a
    moment after it made it.
    """
    try:
        return server_of((directory / LOCK_FILE).read_bytes())
    except OSError:
        return None
