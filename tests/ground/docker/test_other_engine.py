"""The stack stays on the engine that holds its data: another one is refused, whichever command reaches it."""

import http.client
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from infra.backends.docker.engine import find_endpoint
from infra.config.identity import OUR_SERVICES
from infra.config.record import Record
from infra.config.settings import BackendChoice, Role
from tests.kit.checkout import Serve

pytestmark = pytest.mark.usefixtures("docker")


@contextmanager
def reached_at(path: Path, identifier: str = "") -> Iterator[list[str]]:
    """Have the engine answer at another socket, as one with this id where it is given; gives what was asked to change.

    Of an engine with another id only questions are answered, and it holds nothing.
    """
    changes: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(find_endpoint().url.removeprefix("unix://"))
                engine.sendall(f"GET {self.path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n".encode())
                response = http.client.HTTPResponse(engine)
                response.begin()
                body: Any = json.loads(response.read())
            if identifier:
                body = body | {"ID": identifier} if "/info" in self.path else body
                body = [] if "/containers/json" in self.path or "/networks" in self.path else body
                body = {"Volumes": []} if "/volumes" in self.path else body
            content = json.dumps(body).encode()
            self.send_response(response.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            changes.append(f"{self.command} {self.path}")
            self.send_error(500)

        def do_DELETE(self) -> None:
            self.do_POST()

        def address_string(self) -> str:
            return "test"

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield changes
        finally:
            server.shutdown()
            thread.join()
            path.unlink()


@pytest.mark.slow
def test_another_engine_is_refused_by_every_command(serve: Serve, tmp_path: Path) -> None:
    """With DOCKER_HOST at another engine nothing is made there, and the first one keeps the stack.

    The kind: a command that looks for the stack where it is not, and takes that for its absence.
    """
    served = serve(BackendChoice.DOCKER)
    home, there = find_endpoint().url, {"DOCKER_HOST": f"unix://{tmp_path / 'other.sock'}"}
    with reached_at(tmp_path / "other.sock", "ANOTHER") as changes:
        commands = (["up"], ["down"], ["down", "--volumes", "--yes"], ["status"], ["plan"], ["logs"], ["doctor"])
        for words in commands:
            done = served.invoke(*words, **there)
            assert done.returncode == 4, words
            assert f"DOCKER_HOST={home}" in done.stderr + done.stdout
    assert changes == []
    assert Record.load(served.project) is not None
    assert set(served.status()["services"]) == set(OUR_SERVICES)
    assert served.query(Role.USER, "SELECT 1") == [(1,)]


def test_the_same_engine_at_another_address_is_the_same(serve: Serve, tmp_path: Path) -> None:
    """An engine that is reached at another socket holds the same stack, as its own id says."""
    served = serve(BackendChoice.DOCKER)
    before = served.status()
    with reached_at(tmp_path / "same.sock") as changes:
        environ = {"DOCKER_HOST": f"unix://{tmp_path / 'same.sock'}"}
        assert json.loads(served.succeed("status", "--json", **environ).stdout) == before
        assert "nothing to do" in served.succeed("plan", **environ).stdout
    assert changes == []


def test_the_record_names_its_engine(serve: Serve) -> None:
    """The id that the engine gives itself is remembered with the address."""
    record = Record.load(serve(BackendChoice.DOCKER).project)
    assert record is not None
    assert record.endpoint == find_endpoint().url
    assert record.engine
    embedded = Record.load(serve(BackendChoice.EMBEDDED).project)
    assert embedded is not None
    assert (embedded.endpoint, embedded.engine) == ("", "")
