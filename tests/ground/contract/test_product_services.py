"""A server of the product, through its life: brought up, reached, changed, ended, on both backends."""

import json
import socket
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from infra.config.identity import Service
from infra.config.settings import BackendChoice, read_env_file
from infra.images.base import RELEASE_ROOT
from tests.kit.checkout import Checkout
from tests.kit.release import make_roots

pytestmark = pytest.mark.slow

# With `sh` above it, as many a program is started: what ends the shell has to end the server.
SERVICES = '''"""Yours: the shop's servers."""

from infra.declaration.service import ServiceSpec

serve = ("python3", "-m", "http.server", "{port}", "--bind", "{host}", "--directory", "{data}")
services = [
    ServiceSpec(
        name="files",
        ports=(8000,),
        image="groundwork/python:3.13-standin",
        command=serve,
        program=("sh", "-c", "python3 -m http.server {port} --bind {host} --directory {data}; true"),
        data_path="/srv",
        environment={"CACHE": "{host:redis}:{port:redis}"},
        secrets={"FILES_TOKEN": "FILES_TOKEN"},
        depends_on=("redis",),
    ),
    ServiceSpec(name="mail", ports=(1025, 8025), image="no-such-image:1", program=("no-such-mail", "{port:8025}")),
]
'''


@pytest.fixture
def shop(checkout: Checkout) -> Iterator[Checkout]:
    """Give a checkout that declares servers of its own: for containers only those that have an image here."""
    text = SERVICES
    if checkout.backend is BackendChoice.DOCKER:
        make_roots(RELEASE_ROOT)
        text = text.replace('image="no-such-image:1", ', "")
    (checkout.path / "infra" / "product" / "services.py").write_text(text)
    checkout.succeed("up")
    yield checkout
    checkout.invoke("down", "--volumes", "--yes")


def fetched(shop: Checkout) -> int:
    """Ask the server of files for its folder."""
    with urlopen(f"http://127.0.0.1:{shop.ports[Service('files')]}/") as answer:
        return int(answer.status)


def listens(port: int) -> bool:
    """Return whether a server listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_of_the_product_lives_as_ours_do(shop: Checkout) -> None:
    """It serves once `up` returns, is told of where others are told of, changed where it is declared otherwise.

    What cannot run here is left out, and said to be.
    """
    assert fetched(shop) == 200
    token = read_env_file(shop.path / ".env")["FILES_TOKEN"][1]
    assert token
    assert not any(token in said for said in shop.said)
    assert {*shop.status()["services"]} == {"postgres", "redis", "files"}
    assert {*shop.status()["left_out"]} == {"mail"}
    assert "GET / " in shop.succeed("logs", "--service", "files").stdout
    assert json.loads(shop.succeed("plan", "--json").stdout)["operations"] == []
    file = shop.path / "infra" / "product" / "services.py"
    before = shop.status()["services"]
    file.write_text(file.read_text().replace('"CACHE"', '"CACHE_AT"'))
    steps = json.loads(shop.succeed("plan", "--json").stdout)["operations"]
    assert steps
    assert all(step["target"].endswith("files") for step in steps)
    shop.succeed("up")
    assert fetched(shop) == 200
    after = shop.status()["services"]
    assert [after[name]["since"] == before[name]["since"] for name in ("postgres", "redis", "files")] == [
        True,
        True,
        False,
    ]


def test_a_server_of_the_product_ends_as_ours_do(shop: Checkout) -> None:
    """One alone or all, with what it has started; it keeps its port, and the broken declaration of it stops none."""
    port = shop.ports[Service("files")]
    shop.succeed("down", "--service", "files")
    assert not listens(port)
    assert {*shop.status()["services"]} == {"postgres", "redis"}
    shop.succeed("up")
    assert shop.ports[Service("files")] == port
    assert fetched(shop) == 200
    (shop.path / "infra" / "product" / "services.py").write_text("services = [")
    shop.succeed("down", "--volumes", "--yes")
    assert not listens(port)
