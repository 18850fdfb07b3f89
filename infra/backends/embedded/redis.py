"""Redis, or Valkey, as a plain process."""

import os
import signal
from pathlib import Path
from shlex import quote

from infra.backends.data_directory import APPEND_ONLY, MADE, SNAPSHOT, RedisContent, judge_redis, refuse_other
from infra.backends.embedded.folder import any_entry, readable
from infra.backends.embedded.process import Account
from infra.backends.embedded.server import Launch
from infra.config.endpoints import HOST
from infra.config.identity import Service
from infra.config.secret import Secret
from infra.declaration.spec import RedisSpec


def launch(spec: RedisSpec, program: str, directory: Path) -> Launch:
    """Read the declaration as a process. The configuration goes in by standard input, since it holds the password."""
    assert spec.port is not None  # noqa: S101 - the stack gives every embedded server its port
    directives = (
        *spec.directives,
        ("bind", HOST),
        ("port", str(spec.port)),
        ("daemonize", "no"),
        ("set-proc-title", "no"),
    )
    return Launch(
        service=Service.REDIS,
        directory=directory,
        # The folder is an argument and the title stays as it is, since that is how the process is recognised.
        command=(program, "--dir", str(directory), "-"),
        config="".join(f"{name} {escape(value)}\n" for name, value in directives),
        password_line=Secret(f"requirepass {escape(spec.password.reveal())}\n"),
        port=spec.port,
        stop_signal=signal.SIGTERM,
        stop_seconds=spec.stop_timeout.total_seconds(),
    )


def is_complete(directory: Path) -> bool:
    """Return whether a server may be started on the data; where it may not, `up` may make the folder for it.

    Raises:
        StackError: something is there that `up` must not replace, or that a server would not load.
    """
    if not directory.is_dir():
        return False
    with readable(directory):
        content = RedisContent(
            made=(directory / MADE).exists(),
            append_only=any((directory / name).exists() for name in APPEND_ONLY),
            snapshot=(directory / SNAPSHOT).exists(),
            entry=any_entry(directory),
        )
    found = judge_redis(str(directory), content)._replace(remove=f"rm -r {quote(str(directory))}")
    refuse_other(Service.REDIS, found)
    return found.complete


def initialise(directory: Path, account: Account | None) -> None:
    """Make the data folder, which is empty or not there, as one that `up` made."""
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / MADE).touch()
    if account is not None:
        os.chown(directory, account.uid, account.gid)


def escape(value: str) -> str:
    r"""Quote a value for Redis's configuration, byte by byte as `\xHH`, which no character can escape from.

    Source: redis.conf and sdssplitargs() of Redis 7.
    """
    return '"' + "".join(f"\\x{byte:02x}" for byte in value.encode()) + '"'


def unescape(value: str) -> str:
    """Return the text that `escape` was given."""
    return bytes.fromhex(value.strip('"').replace("\\x", "")).decode()
