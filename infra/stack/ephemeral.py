"""A PostgreSQL server for the length of a block: plain processes, in memory where there is room, gone afterwards."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from secrets import token_urlsafe
from typing import Any

from infra.backends.embedded.backend import EmbeddedBackend
from infra.backends.protocol import Say
from infra.config.endpoints import admin_url, role_url
from infra.config.identity import Project, Service
from infra.config.secret import Secret
from infra.config.settings import CHECKOUT, Role, Settings
from infra.config.urls import DatabaseUrl
from infra.declaration.spec import build_stack
from infra.stack.locks import project_lock
from infra.stack.ports import choose_ports, spec_ports
from infra.stack.probes import probe_postgres
from infra.stack.readiness import Preparation
from infra.stack.waiting import wait_until_ready

_PURPOSE = "shadow"


@contextmanager
def ephemeral_postgres(settings: Settings, prepare: Preparation, say: Say) -> Iterator[DatabaseUrl]:
    """Start a prepared server and give the owner's URL of its database; stop it and remove its data at the end.

    It is a stack of its own beside the checkout's, one at a time; what a killed run has left is removed first.

    Raises:
        EnvironmentFault: the programs are not installed.
        StackError: the server does not start.
    """
    settings = _of_its_own(settings)
    project = Project.of(CHECKOUT, _PURPOSE)
    backend = EmbeddedBackend(project, durable=False, services=(Service.POSTGRES,))
    with project_lock(project, say), ExitStack() as undo:
        backend.down(volumes=True)
        undo.callback(backend.down, volumes=True)
        spec = build_stack(settings, project, durable=False)
        spec = spec.on_ports(choose_ports(spec, {}, {}, say))
        backend.up(spec, undo)
        ports = spec_ports(spec)
        admin = admin_url(settings, ports)
        wait_until_ready(
            lambda: probe_postgres(admin, project.id, spec.postgres.version),
            lambda: backend.still_alive(Service.POSTGRES),
            spec.start_timeout,
        )
        prepare.run(admin, settings)
        yield role_url(settings, ports, Role.OWNER)


def _of_its_own(settings: Settings) -> Settings:
    """Return the settings with a free port, and with passwords where there are none yet."""
    generated = [field.name for field in fields(settings) if field.metadata.get("generated")]
    missing: dict[str, Any] = {
        name: Secret(token_urlsafe(18)) for name in generated if not getattr(settings, name).reveal()
    }
    return replace(settings, postgres_port=None, redis_port=None, **missing)
