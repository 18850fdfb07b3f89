"""Ports of this machine: who could listen on one, and whether somebody does."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from infra.backend import Server
from infra.errors import EnvironmentFault
from infra.ports import choose_ports, is_free, listens
from infra.spec import Service
from tests.unit.test_spec import declared

ANY = declared(POSTGRES_PORT="auto", REDIS_PORT="auto")


def nobody(line: str) -> None:
    """Have nothing to say."""
    raise AssertionError(line)


@pytest.fixture
def free() -> int:
    """Give a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def taken() -> Iterator[int]:
    """Give a port that somebody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_only_a_port_that_is_listened_on_answers() -> None:
    """A port is neither free nor answered while it is only bound, and answers as soon as it is listened on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert (is_free(port), listens(port)) == (False, False)
        server.listen()
        assert (is_free(port), listens(port)) == (False, True)
    assert not listens(port)


def test_a_remembered_port_is_kept_while_it_is_free(free: int, taken: int) -> None:
    """A port of before is chosen again, unless another program has taken it, which is said."""
    said: list[str] = []
    chosen = choose_ports(ANY, {Service.POSTGRES: free, Service.REDIS: taken}, {}, said.append)
    assert chosen[Service.POSTGRES] == free
    assert chosen[Service.REDIS] not in {free, taken}
    assert [str(taken) in line for line in said] == [True]


def test_a_port_that_our_own_server_has_is_kept(taken: int, free: int) -> None:
    """What runs stays where it is, declared there or not."""
    running = {Service.POSTGRES: Server(Service.POSTGRES, taken, datetime.now(UTC), "this start", "process 1")}
    for spec in (ANY, declared(POSTGRES_PORT=str(taken), REDIS_PORT=str(free))):
        assert choose_ports(spec, {Service.REDIS: free}, running, nobody) == {
            Service.POSTGRES: taken,
            Service.REDIS: free,
        }


def test_a_declared_port_is_never_exchanged(taken: int, free: int) -> None:
    """A declared port that another program has is an error that names the setting."""
    with pytest.raises(EnvironmentFault, match="REDIS_PORT"):
        choose_ports(declared(POSTGRES_PORT=str(free), REDIS_PORT=str(taken)), {}, {}, nobody)
