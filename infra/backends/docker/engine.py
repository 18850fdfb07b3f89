"""Find the container engine as the docker CLI finds it, and connect within seconds.

Order: DOCKER_HOST, DOCKER_CONTEXT, the current context, then the sockets that engines are known to make.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.config.errors import EngineUnavailable

_PING_SECONDS = 5
_CALL_SECONDS = 60
_DEFAULT = "unix:///var/run/docker.sock"
if TYPE_CHECKING:
    from docker import APIClient

    Client = APIClient
else:
    Client = Any  # the SDK costs a tenth of a second, and is loaded where it is used


class Endpoint(NamedTuple):
    """Where an engine is looked for, and what said so."""

    url: str
    source: str
    asked_for: bool


def find_endpoint(environ: Mapping[str, str] = os.environ) -> Endpoint:
    """Return the endpoint that the docker CLI would use, else the first socket that exists.

    Raises:
        EngineUnavailable: the endpoint is not one whose ports are on this machine.
    """
    if environ.get("DOCKER_HOST"):
        endpoint = Endpoint(environ["DOCKER_HOST"], "DOCKER_HOST", asked_for=True)
    else:
        endpoint = _from_context(environ) or _first_socket(environ)
    if not endpoint.url.startswith(("unix://", "tcp://127.", "tcp://localhost")):
        raise EngineUnavailable(
            f"The engine at {endpoint.url} (from {endpoint.source}) is not on this machine, and published ports would "
            f"not be on 127.0.0.1. Point {endpoint.source} at a local socket (unix:///…), or set "
            "STACK_BACKEND=embedded.",
            absent=False,
            endpoint=endpoint.url,
        )
    return endpoint


def _from_context(environ: Mapping[str, str]) -> Endpoint | None:
    from docker.context import ContextAPI

    name = environ.get("DOCKER_CONTEXT")
    context = ContextAPI.get_context(name)
    if context is None:
        raise EngineUnavailable(
            f"The docker context {name or 'in use'} does not exist. `docker context ls` lists those that do.",
            absent=False,
        )
    if context.Name == "default" or not context.Host:
        return None
    source = "DOCKER_CONTEXT" if name else f"the docker context {context.Name}"
    return Endpoint(context.Host, source, asked_for=True)


def _first_socket(environ: Mapping[str, str]) -> Endpoint:
    for path in _usual_sockets(environ):
        if path.is_socket():
            return Endpoint(f"unix://{path}", "the usual sockets", asked_for=False)
    return Endpoint(_DEFAULT, "the default", asked_for=False)


def _usual_sockets(environ: Mapping[str, str]) -> Iterator[Path]:
    yield Path("/var/run/docker.sock")
    home = Path.home()
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime:
        yield Path(runtime, "docker.sock")
    yield home / ".docker/run/docker.sock"
    yield home / ".docker/desktop/docker.sock"
    yield home / ".colima/default/docker.sock"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "colima/default/docker.sock"
    if runtime:
        yield Path(runtime, "podman/podman.sock")


def connect(endpoint: Endpoint) -> Client:
    """Connect to the engine and agree on an API version.

    Raises:
        EngineUnavailable: nobody is there, it may not be used, or it does not answer within five seconds.
    """
    try:
        _reach(endpoint.url)
    except OSError as error:
        raise _explain(endpoint, error) from None
    import docker
    from docker.errors import DockerException

    try:
        # "auto" is what works with engines at both ends of the range: one refuses a newer version, another an older.
        client = docker.APIClient(base_url=endpoint.url, version="auto", timeout=_PING_SECONDS)
    except DockerException as error:
        raise _explain(endpoint, error) from None
    client.timeout = _CALL_SECONDS
    return client


def _reach(url: str) -> None:
    """Connect to the endpoint and hang up: the system's own error says most, and the SDK buries it in others."""
    scheme, _, address = url.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_PING_SECONDS)
            probe.connect(address)
    else:
        host, _, port = address.rstrip("/").rpartition(":")
        if not port.isdigit():
            raise OSError(f"{url} names no port")
        socket.create_connection((host, int(port)), _PING_SECONDS).close()


def _explain(endpoint: Endpoint, cause: Exception) -> EngineUnavailable:
    where = f"{endpoint.url} (from {endpoint.source})"
    remedy = "Start the engine, or set STACK_BACKEND=embedded to run the servers as plain processes."
    if isinstance(cause, PermissionError):
        return EngineUnavailable(
            f"Your user may not use the engine at {where}. Add yourself to the group that owns the socket (usually "
            "`sudo usermod -aG docker $USER`) and log in again, use a rootless engine, or set STACK_BACKEND=embedded.",
            absent=False,
            endpoint=endpoint.url,
        )
    if isinstance(cause, FileNotFoundError):
        return EngineUnavailable(
            f"There is no engine at {where}. {remedy}", absent=not endpoint.asked_for, endpoint=endpoint.url
        )
    if isinstance(cause, ConnectionRefusedError):
        return EngineUnavailable(
            f"Nobody listens at {where}: the engine is not running. {remedy}",
            absent=not endpoint.asked_for,
            endpoint=endpoint.url,
        )
    if isinstance(cause, TimeoutError) or "timed out" in str(cause).lower():
        return EngineUnavailable(
            f"The engine at {where} accepts connections but did not answer within {_PING_SECONDS} s. Restart it, or "
            "set STACK_BACKEND=embedded.",
            absent=False,
            endpoint=endpoint.url,
        )
    return EngineUnavailable(
        f"The engine at {where} cannot be used: {cause}. {remedy}", absent=False, endpoint=endpoint.url
    )
