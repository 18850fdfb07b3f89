"""Pulling an image, from a registry of our own."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from docker.errors import ImageNotFound

from infra.config.settings import CHECKOUT, BackendChoice
from tests.ground.docker.registry import Registry, registry
from tests.ground.docker.terminal import Terminal, screen
from tests.kit.checkout import Checkout, copy_project
from tests.kit.world import engine, things_of

pytestmark = pytest.mark.usefixtures("docker")

_OBTAIN = """
import sys
from infra.backends.docker.engine import connect, find_endpoint
from infra.backends.docker.images import obtain
obtain(connect(find_endpoint()), sys.argv[1], None, lambda line: print(line, file=sys.stderr))
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Checkout]:
    """Give a checkout that gives a pull up when nothing arrives for a second."""
    checkout = Checkout(copy_project(tmp_path / "shop"), BackendChoice.DOCKER)
    images = checkout.path / "infra" / "backends" / "docker" / "images.py"
    images.write_text(images.read_text().replace("STALL = timedelta(seconds=60)", "STALL = timedelta(seconds=1)"))
    yield checkout
    checkout.invoke("down", "--volumes", "--yes")


@pytest.fixture
def served_image() -> Iterator[Registry]:
    """Serve an image that no machine has; it is removed from the engine afterwards."""
    with engine() as client:
        with registry(client.version()["Arch"]) as serving:
            yield serving
        with suppress(ImageNotFound):
            client.remove_image(serving.reference, force=True)


def test_a_pull_shows_each_layer_in_its_place(served_image: Registry) -> None:
    """On a terminal each layer has one line, which a bar grows in and which says in the end that it is complete."""
    with Terminal([sys.executable, "-c", _OBTAIN, served_image.reference], CHECKOUT, os.environ) as terminal:
        terminal.read_until(lambda said: all(f"{layer}: Downloading [==" in said for layer in served_image.layers))
        served_image.go_on.set()
        assert terminal.end() == 0, terminal.said
    shown = screen(terminal.said)
    assert shown[0] == f"pulling {served_image.reference}"
    assert shown[1:] == [*(f"{layer}: Pull complete" for layer in served_image.layers), ""]
    with engine() as client:
        assert client.inspect_image(served_image.reference)


def test_an_interrupted_pull_leaves_the_terminal_clean(served_image: Registry, shop: Checkout) -> None:
    """Ctrl-C while a layer arrives ends `up` with 130, below the layers' lines, and nothing is made."""
    environ = shop._environment() | {"POSTGRES_IMAGE": served_image.reference}
    with Terminal([sys.executable, "-m", "invoke", "up"], shop.path, environ) as terminal:
        terminal.read_until(lambda said: "Downloading [==" in said)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
    assert screen(terminal.said)[-2:] == ["interrupted", ""]
    assert things_of(shop.project, BackendChoice.DOCKER) == []


def test_a_stalled_pull_is_given_up(served_image: Registry, shop: Checkout) -> None:
    """A registry that stops sending ends `up` with the environment's code and the reason, and nothing is made."""
    done = shop.invoke("up", POSTGRES_IMAGE=served_image.reference)
    assert done.returncode == 3
    assert served_image.reference in done.stderr
    assert "nothing arrived for 1 s" in done.stderr
    assert "\x1b" not in done.stderr
    assert things_of(shop.project, BackendChoice.DOCKER) == []


@pytest.mark.slow
def test_a_first_hour_goes_on_when_a_pull_stalls(served_image: Registry, shop: Checkout) -> None:
    """Under `auto` a first `up` takes plain processes where the pull stalls, and says why."""
    done = shop.succeed("up", POSTGRES_IMAGE=served_image.reference, STACK_BACKEND="auto")
    assert "nothing arrived for 1 s" in done.stderr
    assert shop.status()["backend"] == "embedded"
    assert things_of(shop.project, BackendChoice.DOCKER) == []
