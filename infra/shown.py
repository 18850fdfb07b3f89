"""A stack as people and programs are told of it; without passwords."""

from collections.abc import Iterator
from typing import Any

from infra.endpoints import HOST, redis_url, role_url
from infra.settings import Role, Settings
from infra.spec import Service
from infra.stack import Stack


def described(current: Stack) -> dict[str, Any]:
    """Return a stack for JSON."""
    return {
        "project": current.project.id,
        "backend": current.backend,
        "services": {
            service: {"host": HOST, "port": server.port, "since": server.since.isoformat(), "runs": server.what}
            for service, server in current.servers.items()
        },
    }


def lines(current: Stack, settings: Settings) -> Iterator[str]:
    """Yield where each server answers, as what, and since when."""
    for service, server in current.servers.items():
        if service is Service.POSTGRES:
            url = str(role_url(settings, current.ports, Role.USER))
        else:
            url = redis_url(current.ports)
        since = f"{server.since.astimezone():%Y-%m-%d %H:%M:%S}"
        yield f"{service:9} {url}  ({current.backend}, {server.what}, since {since})"
