"""Prove that a stack serves, and name what a proof is good for."""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from infra.backends.data_directory import refuse_other
from infra.backends.protocol import Backend, Say, Server
from infra.config.digest import digest
from infra.config.endpoints import admin_url, role_url
from infra.config.errors import CredentialsRefused, EnvironmentFault, InfraError, StackError
from infra.config.identity import Service
from infra.config.settings import Role, Settings
from infra.config.urls import DatabaseUrl
from infra.declaration.spec import StackSpec
from infra.stack.login import LoginFailed, ask
from infra.stack.ports import spec_ports

_LOG_LINES = 15
# What PostgreSQL, and Redis or Valkey, write early in each start.
_STARTS = ("listening on", "just started")
_FULL = os.strerror(errno.ENOSPC)
_RETURN = timedelta(seconds=10)


class Preparation(NamedTuple):
    """What makes the database ready for the product's roles.

    `code` is the files and folders that hold it, `extensions` those that it makes: when one changes, what it prepared
    needs preparing again.
    `state` is a query of one value that changes when somebody changes what was prepared.
    """

    run: Callable[[DatabaseUrl, Settings], None]
    code: tuple[Path, ...]
    state: str = ""
    extensions: tuple[str, ...] = ()


def fingerprint(servers: Mapping[Service, Server], settings: Settings, prepare: Preparation) -> dict[Service, str]:
    """Name what a proof is good for: this start of each server, these passwords, this way of preparing it.

    Of PostgreSQL also that each of the product's roles can log in, and what it says of what was prepared.
    """
    common = hashlib.sha256(digest(prepare.code, *prepare.extensions).encode())
    common.update(f"{settings.postgres_user}\0{settings.redis_version.value}\0".encode())
    for secret in (settings.postgres_password, settings.redis_password, *map(settings.role_password, Role)):
        common.update(secret.reveal().encode() + b"\0")
    proven = {service: common.digest() + server.start_id.encode() for service, server in servers.items()}
    if prepare.state and Service.POSTGRES in servers:
        ports = {service: server.port for service, server in servers.items()}
        proven[Service.POSTGRES] += _state(settings, ports, prepare.state).encode()
    return {service: hashlib.sha256(each).hexdigest() for service, each in proven.items()}


def _state(settings: Settings, ports: Mapping[Service, int], question: str) -> str:
    """Return what each role is answered; where one is not, the others need not be asked."""
    try:
        return "".join(ask(role_url(settings, ports, role), question) for role in Role)
    except LoginFailed:
        return "refused"


def await_return(backend: Backend, servers: Mapping[Service, Server], settings: Settings, cluster: str) -> None:
    """Wait until servers that were started again as they were serve; what cannot be said of them, another command says.

    A refused password is an answer too: the settings may be what was changed. Waits for at most ten seconds.
    """
    from infra.stack.probes import probe_postgres, probe_redis
    from infra.stack.waiting import wait_until_ready

    ports = {service: server.port for service, server in servers.items()}
    probes: dict[Service, Callable[[], None]] = {
        Service.POSTGRES: lambda: probe_postgres(admin_url(settings, ports), cluster, settings.postgres_version),
        Service.REDIS: lambda: probe_redis(ports[Service.REDIS], settings.redis_password, settings.redis_version),
    }
    for service in servers:
        if service not in probes:
            continue
        with suppress(InfraError):
            wait_until_ready(probes[service], partial(backend.still_alive, service), _RETURN)


class Readiness(NamedTuple):
    """One proof of a stack that was just brought up.

    `former_superuser` is the one that the data knew last, or empty; `fresh` data knows nobody's password.
    """

    backend: Backend
    spec: StackSpec
    settings: Settings
    prepare: Preparation
    former_superuser: str
    fresh: bool
    say: Say

    def prove(self) -> None:
        """Wait until PostgreSQL serves the application's role on its database, and Redis its password.

        Raises:
            StackError: a server ended, refused, or was not ready within the spec's start timeout. Its last log lines
                are in the error's notes.
        """
        from infra.stack.probes import probe_postgres, probe_redis

        ends = time.monotonic() + self.spec.start_timeout.total_seconds()
        ports, cluster = spec_ports(self.spec), self.spec.project.id
        admin, user = admin_url(self.settings, ports), role_url(self.settings, ports, Role.USER)
        version, password = self.spec.postgres.version, self.spec.redis.password
        try:
            self._wait(Service.POSTGRES, lambda: probe_postgres(admin, cluster, version), ends)
        except CredentialsRefused:
            self._teach(admin)
            self._wait(Service.POSTGRES, lambda: probe_postgres(admin, cluster, version), ends)
        self.prepare.run(admin, self.settings)
        self._wait(Service.POSTGRES, lambda: probe_postgres(user, cluster, version), ends)
        probe = partial(probe_redis, ports[Service.REDIS], password, self.spec.redis.version)
        self._wait(Service.REDIS, probe, ends)
        for service in self.spec.services:
            self._wait(service.service, partial(self._probe_product, service.service, ports), ends)
        self._retire_former()

    def _probe_product(self, service: Service, ports: Mapping[Service, int]) -> None:
        """Ask the health check of a server of the product, else its first port."""
        from infra.stack.probes import probe_product

        # One that ended cannot be asked, and says why it did.
        self.backend.still_alive(service)
        probe_product(self.backend.health(service), service, ports[service])

    def _retire_former(self) -> None:
        """Revoke the login of a superuser that .env no longer names."""
        former = self.former_superuser
        if former and former != self.settings.postgres_user and former not in set(map(str, Role)):
            from infra.backends.superuser import execute, retirement

            execute(self.spec.postgres, self.settings.postgres_password, retirement(former))
            self.say(f"the former superuser {former} can no longer log in with its password")

    def _teach(self, admin: DatabaseUrl) -> None:
        """Give the data the superuser and password of the settings: they are what the user means."""
        from infra.backends.superuser import statements_for

        if not self.fresh:
            self.say(f"the data knows another superuser or password than .env; giving it those of .env ({admin.user})")
        known = dict.fromkeys(filter(None, (self.former_superuser, admin.user, "postgres")))
        self.backend.administer(self.spec, statements_for(admin.user, admin.password), tuple(known))

    def _wait(self, service: Service, probe: Callable[[], None], ends: float) -> None:
        from infra.stack.waiting import wait_until_ready

        left = timedelta(seconds=max(0.0, ends - time.monotonic()))
        try:
            wait_until_ready(probe, lambda: self.backend.still_alive(service), left)
        except CredentialsRefused:
            raise
        except StackError as error:
            lines = tuple(self.backend.logs(service, _LOG_LINES))
            reason = self._reason(service, error, lines)
            reason.add_note("\n".join((f"Last lines of the {service} log:", *lines)))
            raise reason from None

    def _reason(self, service: Service, error: StackError, lines: tuple[str, ...]) -> InfraError:
        """Return what `doctor` says of the disk or data of a server that did not become ready, else what is known."""
        if any(_FULL in line for line in _of_last_start(lines)):
            return EnvironmentFault(
                f"The disk that holds the data of {service} is full: {_FULL}. Make room there (`invoke doctor` says "
                "how much there is), then run `invoke up` again."
            )
        try:
            if service == Service.REDIS:
                self.backend.refuse_damaged_redis(self.spec)
            elif service == Service.POSTGRES and (data := self.backend.data(self.spec)):
                refuse_other(service, data, self.spec.postgres.version)
        except StackError as found:
            return found
        return error


def _of_last_start(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines of a log from the server's last start on; all of them where they hold the begin of none."""
    begins = [number for number, line in enumerate(lines) if any(words in line for words in _STARTS)]
    return lines[begins[-1] :] if begins else lines
