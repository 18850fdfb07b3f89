"""Choose the ports on 127.0.0.1: the declared one, the remembered one, the standard one, or any that is free."""

import socket
from collections.abc import Mapping

from infra.backend import Say, Server
from infra.endpoints import HOST
from infra.errors import EnvironmentFault
from infra.spec import STANDARD_PORT, Service, StackSpec


def spec_ports(spec: StackSpec) -> dict[Service, int]:
    """Return the ports of a spec whose ports were chosen."""
    return {service: port for service in Service if (port := spec.port(service)) is not None}


def choose_ports(
    spec: StackSpec, remembered: Mapping[Service, int], running: Mapping[Service, Server], say: Say
) -> dict[Service, int]:
    """Return a port for each service.

    A declared port is never exchanged for another. An undeclared one stays what it was, unless another program has
    taken it meanwhile.

    Raises:
        EnvironmentFault: a declared port is taken by another program.
    """
    chosen: dict[Service, int] = {}
    for service in Service:
        ours = running[service].port if service in running else None
        declared = spec.port(service)
        if declared is not None:
            if declared != ours and not is_free(declared):
                raise EnvironmentFault(_taken(service, declared))
            chosen[service] = declared
        else:
            chosen[service] = ours or _any(spec, service, remembered.get(service), say)
    return chosen


def _any(spec: StackSpec, service: Service, remembered: int | None, say: Say) -> int:
    standard = STANDARD_PORT[service] if spec.durable else None
    for candidate in filter(None, (remembered, standard)):
        if is_free(candidate):
            return candidate
    port = _free_port()
    if standard is not None:
        say(f"port {remembered or standard} is taken by {holder(remembered or standard)}; {service} gets {port}")
    return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        # As the servers do: an address that only waits out its last connection is free (tcp(7), SO_REUSEADDR).
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def holder(port: int) -> str:
    """Name the process that listens on a port, as far as this user may see it."""
    import psutil

    try:
        found = next(
            c
            for c in psutil.net_connections("tcp")
            if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port
        )
        return f"process {found.pid} ({psutil.Process(found.pid).name()})" if found.pid else "another user's process"
    except (StopIteration, psutil.Error):
        return "another program"


def _taken(service: Service, port: int) -> str:
    key = f"{service.upper()}_PORT"
    return (
        f"{key} asks for port {port}, which {holder(port)} holds. Stop it, or set {key} to `auto` or to a port that is "
        "free. Nothing was started or changed."
    )
