"""Prove that a stack serves, and name what a proof is good for."""

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from infra.backend import Backend, Say, Server
from infra.endpoints import admin_url, role_url
from infra.errors import CredentialsRefused, InfraError, StackError
from infra.ports import spec_ports
from infra.settings import Role, Settings
from infra.spec import Service, StackSpec
from infra.urls import DatabaseUrl

_LOG_LINES = 15
_RETURN = timedelta(seconds=10)


class Preparation(NamedTuple):
    """What makes the database ready for the product's roles.

    `code` is the files that hold it: when one changes, what it prepared needs preparing again. `load` imports them.
    """

    run: Callable[[DatabaseUrl, Settings], None]
    code: tuple[Path, ...]
    load: Callable[[], None] = lambda: None

    def load_meanwhile(self) -> None:
        """Import what a proof needs while the servers start: the engine and initdb are waited for anyway."""

        def load() -> None:
            # What is missing is said where it is used.
            with suppress(ImportError):
                for name in ("psycopg", "tenacity", "infra.probes", "infra.waiting"):
                    import_module(name)
                self.load()

        Thread(target=load, daemon=True).start()


def fingerprint(servers: Mapping[Service, Server], settings: Settings, prepare: Preparation) -> dict[Service, str]:
    """Name what a proof is good for: this start of each server, these passwords, this way of preparing it."""
    common = hashlib.sha256(b"".join(file.read_bytes() for file in prepare.code))
    for secret in (settings.postgres_password, settings.redis_password, *map(settings.role_password, Role)):
        common.update(secret.reveal().encode() + b"\0")
    return {
        service: hashlib.sha256(common.digest() + server.incarnation.encode()).hexdigest()
        for service, server in servers.items()
    }


def await_return(backend: Backend, servers: Mapping[Service, Server], settings: Settings, cluster: str) -> None:
    """Wait until servers that were started again as they were serve; what cannot be said of them, another command says.

    A refused password is an answer too: the settings may be what was changed. Waits for at most ten seconds.
    """
    from infra.probes import probe_postgres, probe_redis
    from infra.waiting import wait_until_ready

    ports = {service: server.port for service, server in servers.items()}
    probes: dict[Service, Callable[[], None]] = {
        Service.POSTGRES: lambda: probe_postgres(admin_url(settings, ports), cluster),
        Service.REDIS: lambda: probe_redis(ports[Service.REDIS], settings.redis_password),
    }
    for service in servers:
        with suppress(InfraError):
            wait_until_ready(probes[service], partial(backend.still_alive, service), _RETURN)


class Readiness(NamedTuple):
    """One proof of a stack that was just brought up.

    `former_superuser` is whom the data knew last, or empty; `fresh` data knows nobody's password.
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
        from infra.probes import probe_postgres, probe_redis

        ends = time.monotonic() + self.spec.start_timeout.total_seconds()
        ports, cluster = spec_ports(self.spec), self.spec.project.id
        admin, user = admin_url(self.settings, ports), role_url(self.settings, ports, Role.USER)
        try:
            self._wait(Service.POSTGRES, lambda: probe_postgres(admin, cluster), ends)
        except CredentialsRefused:
            self._teach(admin)
            self._wait(Service.POSTGRES, lambda: probe_postgres(admin, cluster), ends)
        self.prepare.run(admin, self.settings)
        self._wait(Service.POSTGRES, lambda: probe_postgres(user, cluster), ends)
        self._wait(Service.REDIS, lambda: probe_redis(ports[Service.REDIS], self.settings.redis_password), ends)

    def _teach(self, admin: DatabaseUrl) -> None:
        """Give the data the superuser and password of the settings: they are what the user means."""
        from infra.superuser import statements_for

        if not self.fresh:
            self.say(f"the data knows another superuser or password than .env; giving it those of .env ({admin.user})")
        known = dict.fromkeys(filter(None, (self.former_superuser, admin.user, "postgres")))
        self.backend.administer(self.spec, statements_for(admin.user, admin.password), tuple(known))

    def _wait(self, service: Service, probe: Callable[[], None], ends: float) -> None:
        from infra.waiting import wait_until_ready

        left = timedelta(seconds=max(0.0, ends - time.monotonic()))
        try:
            wait_until_ready(probe, lambda: self.backend.still_alive(service), left)
        except CredentialsRefused:
            raise
        except StackError as error:
            error.add_note("\n".join((f"Last lines of the {service} log:", *self.backend.logs(service, _LOG_LINES))))
            raise
