"""Redis, or Valkey, as a plain process."""

import signal
from pathlib import Path

from infra.embedded_backend.server import Launch
from infra.endpoints import HOST
from infra.secret import Secret
from infra.spec import RedisSpec, Service


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
        config="".join(f"{name} {quoted(value)}\n" for name, value in directives),
        password_line=Secret(f"requirepass {quoted(spec.password.reveal())}\n"),
        port=spec.port,
        stop_signal=signal.SIGTERM,
        stop_seconds=spec.stop_timeout.total_seconds(),
    )


def quoted(value: str) -> str:
    r"""Quote a value for Redis's configuration, byte by byte as `\xHH`, which no character can escape from.

    Source: redis.conf and sdssplitargs() of Redis 7.
    """
    return '"' + "".join(f"\\x{byte:02x}" for byte in value.encode()) + '"'


def unquoted(value: str) -> str:
    """Return the text that `quoted` was given."""
    return bytes.fromhex(value.strip('"').replace("\\x", "")).decode()
