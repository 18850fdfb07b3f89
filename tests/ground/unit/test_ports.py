"""Ports of this machine: who could listen on one, and whether somebody does."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.backends.listening import listens
from infra.backends.protocol import Server
from infra.config.errors import EnvironmentFault
from infra.config.identity import Service
from infra.stack.ports import choose_ports, free_port, is_free
from tests.ground.unit.test_spec import declared
from tests.kit.errors import about

ANY = declared(POSTGRES_PORT="auto", REDIS_PORT="auto")


def nobody(line: str) -> None:
    """Have nothing to say."""
    raise AssertionError(line)


@pytest.fixture
def free() -> int:
    """Give a port that was free a moment ago."""
    return free_port()


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
    with pytest.raises(EnvironmentFault, check=about(setting="REDIS_PORT")):
        choose_ports(declared(POSTGRES_PORT=str(free), REDIS_PORT=str(taken)), {}, {}, nobody)


def test_no_connection_that_goes_out_is_given_a_chosen_port() -> None:
    """A chosen port is none of those that this system gives to connections, which could take it before its server."""
    with Path("/proc/sys/net/ipv4/ip_local_port_range").open() as given:
        first, last = map(int, given.read().split())
    assert not {free_port() for _ in range(50)} & set(range(first, last + 1))
