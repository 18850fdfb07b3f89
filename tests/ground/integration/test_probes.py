"""What a probe makes of a server: it serves, it may serve later, or it never will."""

import socket
import threading
from dataclasses import replace

import pytest
import redis

from infra.config.errors import CredentialsRefused, ServiceFailed
from infra.config.identity import Service
from infra.config.secret import Secret
from infra.config.settings import Role
from infra.config.versions import RedisVersion
from infra.stack.probes import NotReady, probe_postgres, probe_redis
from tests.kit.stack import RunningStack


def test_only_this_very_stack_is_ready(stack: RunningStack) -> None:
    """A PostgreSQL that serves and is another stack's is never ready, whoever gave it our password."""
    probe_postgres(stack.url(Role.USER), stack.project.id, stack.settings.postgres_version)
    with pytest.raises(ServiceFailed, match=stack.project.id):
        probe_postgres(stack.url(Role.USER), "another-stack", stack.settings.postgres_version)


def test_another_version_than_the_declared_one_is_never_ready(stack: RunningStack) -> None:
    """Each server is refused with the setting that names its version."""
    with pytest.raises(ServiceFailed, match="POSTGRES_VERSION asks for 15"):
        probe_postgres(stack.url(Role.USER), stack.project.id, 15)
    port, password = stack.ports[Service.REDIS], stack.settings.redis_password
    with redis.Redis("127.0.0.1", port, password=password.reveal()) as client:
        other = RedisVersion.REDIS_8 if "valkey_version" in client.info("server") else RedisVersion.VALKEY
    with pytest.raises(ServiceFailed, match="REDIS_VERSION"):
        probe_redis(port, password, other)


def test_what_waiting_does_not_heal_ends_the_wait(stack: RunningStack) -> None:
    """A wrong password, role or database is refused for good, by either server."""
    url = stack.url(Role.USER)
    for wrong in (replace(url, password=Secret("wrong")), replace(url, user="nobody"), url.on("nowhere")):
        with pytest.raises(CredentialsRefused):
            probe_postgres(wrong, stack.project.id, stack.settings.postgres_version)
    with pytest.raises(CredentialsRefused):
        probe_redis(stack.ports[Service.REDIS], Secret("wrong"), RedisVersion.ANY)
    probe_redis(stack.ports[Service.REDIS], stack.settings.redis_password, RedisVersion.ANY)


def test_a_server_that_does_not_answer_may_later(stack: RunningStack) -> None:
    """Where nobody listens the probe says so as something to wait for."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(NotReady):
            probe_postgres(replace(stack.url(Role.USER), port=port), stack.project.id, stack.settings.postgres_version)
        with pytest.raises(NotReady):
            probe_redis(port, stack.settings.redis_password, RedisVersion.ANY)


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([b"+OK", b"-LOADING Redis is loading the dataset in memory"], NotReady),
        ([b"+OK"], NotReady),
        ([b"+OK", b"-MISCONF Errors writing to the AOF file: No space left on device"], ServiceFailed),
        ([b"HTTP/1.1 400 Bad Request"], ServiceFailed),
        ([b"-WRONGPASS invalid username-password pair"], CredentialsRefused),
    ],
)
def test_an_answer_that_waiting_does_not_change_ends_the_wait(answers: list[bytes], error: type[Exception]) -> None:
    """A server that loads is waited for; one that cannot write, or is no Redis, fails at once with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"".join(line + b"\r\n" for line in answers))

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(error) as failed:
            probe_redis(listening.getsockname()[1], Secret("S3cret"), RedisVersion.ANY)
        thread.join()
    assert type(failed.value) is error
