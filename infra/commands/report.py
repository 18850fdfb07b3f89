"""A stack as commands print it, for people and programs; without passwords."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from infra.backends.protocol import Operation, Server
from infra.config.endpoints import HOST, redis_url
from infra.config.errors import ConfigError
from infra.config.identity import OUR_SERVICES, Service
from infra.config.secret import Secret
from infra.config.settings import Role, Settings, database_name
from infra.config.urls import DatabaseUrl
from infra.stack.lifecycle import Stack

HEADER = ("server", "address", "runs as")


def describe_stack(current: Stack) -> dict[str, Any]:
    """Return a stack for JSON."""
    return {
        "project": current.project.id,
        "backend": current.backend,
        "left_out": dict(current.left_out),
        "services": {
            service: {
                **_address(server),
                "host": HOST,
                "port": server.port,
                "since": server.since.isoformat(),
                "runs": server.description,
            }
            for service, server in current.servers.items()
        },
    }


def steps(operations: Iterable[Operation]) -> list[dict[str, str]]:
    """Return operations for JSON."""
    return [{"verb": str(step.verb), "target": step.title, "cause": step.cause} for step in operations]


def rows(current: Stack) -> list[tuple[str, str, str]]:
    """Return for each server its name, where it answers, and as what it runs since when."""
    return [
        (
            service,
            ", ".join(f"{HOST}:{port}" for port in server.ports.values())
            if service not in OUR_SERVICES
            else _url(service, server.port),
            f"{current.backend}, {server.description}, since {server.since.astimezone():%Y-%m-%d %H:%M:%S}",
        )
        for service, server in current.servers.items()
    ]


def _address(server: Server) -> dict[str, Any]:
    """Return the URL of one of ours; of another its ports, by their numbers in a container where there are more."""
    if server.service in OUR_SERVICES:
        return {"url": _url(server.service, server.port)}
    return {"ports": {str(name): port for name, port in server.ports.items()}}


def _url(service: Service, port: int) -> str:
    if service == Service.REDIS:
        return redis_url({service: port})
    return str(DatabaseUrl(_login(), Secret(), HOST, port, database_name()))


def _login() -> str:
    """Return the application's login; what runs is shown, too, where the settings cannot be read."""
    with suppress(ConfigError):
        return Settings.load().role_login(Role.USER)
    return str(Role.USER)
