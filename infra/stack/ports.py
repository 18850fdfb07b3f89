"""Choose the ports on 127.0.0.1: the declared one, the remembered one, the standard one, or any that is free."""

import random
import socket
from collections.abc import Mapping

from infra.backends.listening import listens
from infra.backends.protocol import Say, Server
from infra.config.endpoints import HOST
from infra.config.errors import EnvironmentFault
from infra.config.identity import Service
from infra.declaration.spec import STANDARD_PORT, StackSpec

# Above the ports of well-known servers and below those that a system gives to connections that go out (from 32768 on
# Linux, ip(7); from 49152 on macOS, RFC 6335): a connection could take one of those between its choice and its use, or
# while a stack is stopped.
_CHOICE = range(20_000, 32_768)
_TRIES = 100


def spec_ports(spec: StackSpec) -> dict[Service, int]:
    """Return the ports of a spec whose ports were chosen."""
    return {service: port for service, port in spec.ports.items() if port is not None}


def choose_ports(
    spec: StackSpec, remembered: Mapping[Service, int], running: Mapping[Service, Server], say: Say
) -> dict[Service, int]:
    """Return a port for each service.

    A declared port is never exchanged for another. An undeclared one stays what it was, unless another program has
    taken it meanwhile.

    Raises:
        EnvironmentFault: a declared port is taken by another program.
    """
    chosen = spec_ports(spec)
    ours = {name: port for server in running.values() for name, port in server.ports.items()}
    for service, declared in chosen.items():
        if declared != ours.get(service) and not is_free(declared):
            raise EnvironmentFault(_taken_message(service, declared), setting=service.port_setting)
    for service in spec.ports:
        if service not in chosen:
            others = set(chosen.values())
            chosen[service] = ours.get(service) or _any(spec, service, remembered.get(service), others, say)
    return {service: chosen[service] for service in spec.ports}


def _any(spec: StackSpec, service: Service, remembered: int | None, others: set[int], say: Say) -> int:
    standard = STANDARD_PORT.get(service) if spec.durable else None
    wanted = remembered or standard
    candidates = (port for port in (remembered, standard) if port and port not in others)
    port = next(filter(is_free, candidates), None) or free_port()
    if standard is not None and wanted is not None and port != wanted and wanted not in others:
        from infra.backends.port_owner import port_owner

        found = port_owner(wanted)
        how = f" (`{found.stop}` stops it)" if found.stop else ""
        say(f"port {wanted} is taken by {found}{how}; {service} gets {port}")
    return port


def free_port() -> int:
    """Return a port that is free now and that no connection that goes out is given.

    Where a system has none such left, it is any port that the system gives.
    """
    # The system's own chance: processes that were given one seed would choose the same ports.
    for port in random.SystemRandom().sample(_CHOICE, _TRIES):
        if is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Return whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        # As the servers do: an address that only waits out its last connection is free (tcp(7), SO_REUSEADDR).
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:  # a privileged port, which an engine may have for its containers all the same
            return not listens(port)
        except OSError:
            return False
        return True


def _taken_message(service: Service, port: int) -> str:
    from infra.backends.port_owner import port_owner

    key, found = service.port_setting, port_owner(port)
    return (
        f"{key} asks for port {port}, which {found} holds. {found.remedy}, or set {key} to `auto` or to a port that is "
        "free. Nothing was started or changed."
    )
