"""Choose the ports on 127.0.0.1: the declared one, the remembered one, the standard one, or any that is free."""

import socket
from collections.abc import Mapping

from infra.backend import Say, Server
from infra.endpoints import HOST
from infra.errors import EnvironmentFault
from infra.spec import STANDARD_PORT, Service, StackSpec

_CONNECT_SECONDS = 1


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
    wanted = remembered or standard
    port = next(filter(is_free, filter(None, (remembered, standard))), None) or _free_port()
    if standard is not None and wanted is not None and port != wanted:
        from infra.holder import holder

        found = holder(wanted)
        how = f" (`{found.stop}` stops it)" if found.stop else ""
        say(f"port {wanted} is taken by {found}{how}; {service} gets {port}")
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


def listens(port: int) -> bool:
    """Tell whether somebody listens on 127.0.0.1:`port`.

    By connecting: a probe that binds the port could keep the very server that is waited for from it, where a system
    lets two sockets bind one address only when both ask for that in its own way.
    """
    try:
        with socket.create_connection((HOST, port), timeout=_CONNECT_SECONDS) as probe:
            # A port that the system gave to the probe itself answers it (RFC 9293, 3.5: simultaneous open).
            return bool(probe.getsockname() != probe.getpeername())
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _taken(service: Service, port: int) -> str:
    from infra.holder import holder

    key, found = f"{service.upper()}_PORT", holder(port)
    return (
        f"{key} asks for port {port}, which {found} holds. {found.remedy}, or set {key} to `auto` or to a port that is "
        "free. Nothing was started or changed."
    )
