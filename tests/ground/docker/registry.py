"""A registry on 127.0.0.1 with one small image, whose sending can be held back (Registry HTTP API V2)."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_IMAGE = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_PATIENCE = 60
_PIECES, _PAUSE = 4, 0.1


class Registry(ThreadingHTTPServer):
    """Serves the image `reference`. Half of each layer is sent at once, the other half when `go_on` is set."""

    daemon_threads = True

    def __init__(self, architecture: str, layers: int, layer_bytes: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.go_on = threading.Event()
        self.content: dict[str, tuple[str, bytes]] = {}
        tars = [_tar(f"file-{number}", os.urandom(layer_bytes)) for number in range(layers)]
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
        }
        packed = [gzip.compress(tar, compresslevel=1) for tar in tars]
        self.layers = [_digest(layer).removeprefix("sha256:")[:12] for layer in packed]
        self._manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._add(_IMAGE, json.dumps(config).encode()),
            "layers": [self._add(_LAYER, layer) for layer in packed],
        }
        self.content["manifest"] = (_MANIFEST, json.dumps(self._manifest).encode())

    @property
    def reference(self) -> str:
        """The name of the image."""
        return f"127.0.0.1:{self.server_address[1]}/groundwork/tiny:16"

    def _add(self, kind: str, blob: bytes) -> dict[str, Any]:
        self.content[_digest(blob)] = (kind, blob)
        return {"mediaType": kind, "size": len(blob), "digest": _digest(blob)}


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        assert isinstance(self.server, Registry)
        what, _, name = self.path.rpartition("/")
        kind, body = "application/json", b"{}"
        if what.endswith(("/manifests", "/blobs")):
            kind, body = self.server.content["manifest" if what.endswith("/manifests") else name]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", _digest(body))
        self.end_headers()
        if not with_body:
            return
        if kind != _LAYER:
            self.wfile.write(body)
            return
        piece = len(body) // (2 * _PIECES)
        for start in range(0, _PIECES * piece, piece):
            self.wfile.write(body[start : start + piece])
            self.server.go_on.wait(_PAUSE)  # an engine tells ten times a second at most what has arrived
        self.server.go_on.wait(_PATIENCE)
        with suppress(ConnectionError):  # the engine has gone, as it does when nobody wants the image any more
            self.wfile.write(body[_PIECES * piece :])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def registry(architecture: str, *, layers: int = 3, layer_bytes: int = 2_000_000) -> Iterator[Registry]:
    """Run a registry; whoever still waits for the rest of a layer gets it in the end."""
    with Registry(architecture, layers, layer_bytes) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join()


def _tar(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"
