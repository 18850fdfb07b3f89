"""An engine that cannot get an image."""

from pathlib import Path

import pytest

from infra.settings import BackendChoice
from tests.fixtures.checkout import Checkout, copy_project
from tests.fixtures.world import things_of

pytestmark = pytest.mark.usefixtures("docker")

NOWHERE = "groundwork/nowhere:16"


def test_an_image_that_is_not_to_be_had_is_named(tmp_path: Path) -> None:
    """Where containers are asked for, `up` ends with the environment's code, names the image, and makes nothing."""
    checkout = Checkout(copy_project(tmp_path / "shop"), BackendChoice.DOCKER, {"POSTGRES_IMAGE": NOWHERE})
    done = checkout.invoke("up")
    assert done.returncode == 3
    assert NOWHERE in done.stderr
    assert things_of(checkout.project, BackendChoice.DOCKER) == []


def test_a_first_hour_goes_on_without_the_image(tmp_path: Path) -> None:
    """Under `auto` a first `up` goes on with plain processes, and the next one keeps to them."""
    environ = {"STACK_BACKEND": "auto", "POSTGRES_IMAGE": NOWHERE}
    checkout = Checkout(copy_project(tmp_path / "shop"), BackendChoice.EMBEDDED, environ)
    try:
        checkout.succeed("up")
        assert checkout.status()["backend"] == "embedded"
        checkout.succeed("down")
        checkout.succeed("up", POSTGRES_IMAGE="postgres:16")
        assert checkout.status()["backend"] == "embedded"
        assert things_of(checkout.project, BackendChoice.DOCKER) == []
    finally:
        checkout.invoke("down", "--volumes", "--yes")
