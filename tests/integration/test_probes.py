"""What a probe makes of a server: it serves, it may serve later, or it never will."""

import socket
from dataclasses import replace

import pytest

from infra.errors import CredentialsRefused, ServiceFailed
from infra.probes import NotReady, probe_postgres, probe_redis
from infra.secret import Secret
from infra.settings import Role
from infra.spec import Service
from tests.fixtures.stack import RunningStack


def test_only_this_very_stack_is_ready(stack: RunningStack) -> None:
    """A PostgreSQL that serves and is another stack's is never ready, whoever gave it our password."""
    probe_postgres(stack.url(Role.USER), stack.project.id)
    with pytest.raises(ServiceFailed, match=stack.project.id):
        probe_postgres(stack.url(Role.USER), "another-stack")


def test_what_waiting_does_not_heal_ends_the_wait(stack: RunningStack) -> None:
    """A wrong password, role or database is refused for good, by either server."""
    url = stack.url(Role.USER)
    for wrong in (replace(url, password=Secret("wrong")), replace(url, user="nobody"), url.on("nowhere")):
        with pytest.raises(CredentialsRefused):
            probe_postgres(wrong, stack.project.id)
    with pytest.raises(CredentialsRefused):
        probe_redis(stack.ports[Service.REDIS], Secret("wrong"))
    probe_redis(stack.ports[Service.REDIS], stack.settings.redis_password)


def test_a_server_that_does_not_answer_may_later(stack: RunningStack) -> None:
    """Where nobody listens the probe says so as something to wait for."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(NotReady):
            probe_postgres(replace(stack.url(Role.USER), port=port), stack.project.id)
        with pytest.raises(NotReady):
            probe_redis(port, stack.settings.redis_password)
