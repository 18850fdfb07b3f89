"""How the engine is found, and what is said of one that is not there, may not be used or does not answer.

The engines are sockets of our own: a real one cannot be made to hang, nor to be of another version, on demand.
"""

import gc
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest

from infra.backends.docker import engine
from infra.backends.docker.engine import Endpoint, connect, find_endpoint
from infra.config.errors import EngineUnavailable
from tests.kit.errors import about

# The SDK leaves its socket open where it finds no engine.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _close_what_the_sdk_leaves() -> Iterator[None]:
    yield
    gc.collect()


class NewEngine(ThreadingUnixStreamServer):
    """An engine of a later generation: it refuses every API version below 1.44. `asked` holds what it was asked."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        super().__init__(str(path), _Answers)


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, NewEngine)
        self.server.asked.append(self.path)
        accepted = self.path == "/version" or self.path.startswith("/v1.5")
        body = {"ApiVersion": "1.52", "MinAPIVersion": "1.44"} if accepted else {"message": "client version is too old"}
        text = json.dumps(body).encode()
        self.send_response(200 if accepted else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def new_engine(tmp_path: Path) -> Iterator[tuple[Path, NewEngine]]:
    """Run an engine of a later generation."""
    path = tmp_path / "new.sock"
    with NewEngine(path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield path, server
        server.shutdown()
        thread.join()


def test_a_newer_engine_is_spoken_to_in_its_own_version(new_engine: tuple[Path, NewEngine]) -> None:
    """The API version is the engine's, so one that refuses old clients serves."""
    path, server = new_engine
    client = connect(Endpoint(f"unix://{path}", "DOCKER_HOST", asked_for=True))
    assert client.version()["ApiVersion"] == "1.52"
    client.close()
    assert server.asked[-1].startswith("/v1.52/")


@pytest.mark.parametrize("chosen_by", ["config", "variable"])
def test_the_current_context_is_followed(
    new_engine: tuple[Path, NewEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen_by: str
) -> None:
    """The context in use, by `docker context use` or DOCKER_CONTEXT, decides which engine is asked."""
    path, server = new_engine
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"other").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(
        json.dumps({"Name": "other", "Metadata": {}, "Endpoints": {"docker": {"Host": f"unix://{path}"}}})
    )
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "other"} if chosen_by == "config" else {}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    endpoint = find_endpoint({"DOCKER_CONTEXT": "other"} if chosen_by == "variable" else {})
    connect(endpoint).close()
    assert endpoint.url == f"unix://{path}"
    assert server.asked


def test_docker_host_wins_over_the_context() -> None:
    """DOCKER_HOST is what the docker CLI looks at first."""
    found = find_endpoint({"DOCKER_HOST": "unix:///a.sock", "DOCKER_CONTEXT": "other"})
    assert (found.url, found.source) == ("unix:///a.sock", "DOCKER_HOST")


def test_a_context_that_does_not_exist_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A context by a name that nobody made is an error that names it, not a reason to ask another engine."""
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="nobodys"):
        find_endpoint({"DOCKER_CONTEXT": "nobodys"})


def test_a_hanging_engine_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that accepts and never answers is given up after its few seconds, and is there all the same."""
    assert engine._PING_SECONDS <= 5
    monkeypatch.setattr(engine, "_PING_SECONDS", 0.2)
    path = tmp_path / "hung.sock"
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(path))
        hung.listen()
        with pytest.raises(
            EngineUnavailable, match="did not answer", check=about(endpoint=f"unix://{path}", absent=False)
        ):
            connect(Endpoint(f"unix://{path}", "the usual sockets", asked_for=False))


def test_a_stale_socket_is_an_absent_engine(tmp_path: Path) -> None:
    """A socket that nobody listens on is said to be just that."""
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    with pytest.raises(EngineUnavailable, check=about(endpoint=f"unix://{path}", absent=True)):
        connect(Endpoint(f"unix://{path}", "the usual sockets", asked_for=False))


def test_an_engine_that_was_asked_for_is_never_absent(tmp_path: Path) -> None:
    """Where DOCKER_HOST names the engine, its absence is an error and no reason to go elsewhere."""
    with pytest.raises(EngineUnavailable, check=about(absent=False)):
        connect(Endpoint(f"unix://{tmp_path}/none.sock", "DOCKER_HOST", asked_for=True))
