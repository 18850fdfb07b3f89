"""Ports of this machine: who could listen on one, and whether somebody does."""

import socket

from infra.ports import is_free, listens


def test_only_a_port_that_is_listened_on_answers() -> None:
    """A port is neither free nor answered while it is only bound, and answers as soon as it is listened on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert (is_free(port), listens(port)) == (False, False)
        server.listen()
        assert (is_free(port), listens(port)) == (False, True)
    assert not listens(port)
