"""PgBouncer in front of a server, as a process of the test's own."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from infra.config.settings import Role
from infra.config.urls import DatabaseUrl
from infra.stack.probes import NotReady
from infra.stack.waiting import wait_until_ready
from tests.kit.bare_server import SETTINGS

_NOBODY = "nobody"
_CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listens}
unix_socket_dir =
auth_type = plain
auth_file = {users}
pool_mode = {mode}
"""


@contextmanager
def pooler(server: DatabaseUrl, mode: str, *lines: str) -> Iterator[DatabaseUrl]:
    """Run PgBouncer in a mode in front of a server; give the application's URL through it. Skip where it is missing."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("no pgbouncer: there is none on the PATH; apt-get install pgbouncer")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listens = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        users, configuration = Path(folder) / "users", Path(folder) / "pgbouncer.ini"
        users.write_text("".join(f'"{role}" "{SETTINGS.role_password(role).reveal()}"\n' for role in Role))
        places = {"host": server.host, "port": server.port, "listens": listens, "users": users, "mode": mode}
        configuration.write_text("\n".join((_CONFIGURATION.format(**places), *lines)))
        process = subprocess.Popen([program, "--quiet", str(configuration)], user=_reader(Path(folder)))
        try:
            wait_until_ready(lambda: _probe(listens), lambda: None, SETTINGS.stack_start_timeout)
            yield replace(
                server.on("app"), user=str(Role.USER), password=SETTINGS.role_password(Role.USER), port=listens
            )
        finally:
            process.kill()
            process.wait()


def _reader(folder: Path) -> str | None:
    """Return the user that it is to run as, who may read its files: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    for path in (folder, *folder.iterdir()):
        os.chown(path, pwd.getpwnam(_NOBODY).pw_uid, -1)
    return _NOBODY


def _probe(port: int) -> None:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError as error:
        raise NotReady(str(error)) from error
