"""Whether a port of 127.0.0.1 may be listened on, and whether somebody does."""

import socket
from pathlib import Path

from infra.config.endpoints import HOST
from infra.config.errors import EnvironmentFault
from infra.config.identity import Service

_CONNECT_SECONDS = 1


_FIRST_UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def refuse_privileged(service: Service, port: int) -> None:
    """Refuse a port that only root may listen on: no server of the stack runs as root.

    Source: Linux, ip(7), ip_unprivileged_port_start; elsewhere the ports below 1024.

    Raises:
        EnvironmentFault: names the port and the setting.
    """
    try:
        first = int(_FIRST_UNPRIVILEGED.read_text(encoding="ascii"))
    except (OSError, ValueError):
        first = 1024
    if port < first:
        key = service.port_setting
        raise EnvironmentFault(
            f"{key} asks for port {port}, and only root may listen on ports below {first}, while the servers run as an "
            f"ordinary user. Nothing was started or changed. Set {key} to `auto` or to a port from {first}, or run the "
            "stack in containers with STACK_BACKEND=docker.",
            setting=key,
        )


def listens(port: int) -> bool:
    """Return whether somebody listens on 127.0.0.1:`port`.

    By connecting: a probe that binds the port could keep the very server that is waited for from it, where a system
    lets two sockets bind one address only when both ask for that in its own way.
    """
    try:
        with socket.create_connection((HOST, port), timeout=_CONNECT_SECONDS) as probe:
            # A port that the system gave to the probe itself answers it (RFC 9293, 3.5: simultaneous open).
            return bool(probe.getsockname() != probe.getpeername())
    except OSError:
        return False
