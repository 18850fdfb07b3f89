"""An engine that cannot get an image."""

from pathlib import Path

import pytest

from infra.config.identity import state_directory
from infra.config.settings import BackendChoice
from tests.kit.checkout import Checkout, Serve, copy_project
from tests.kit.world import things_of

pytestmark = pytest.mark.usefixtures("docker")

NOWHERE = "groundwork/nowhere:16"


def test_an_image_that_is_not_to_be_had_is_named(tmp_path: Path) -> None:
    """Where containers are asked for, `up` ends with the environment's code, names the image, and makes nothing."""
    checkout = Checkout(copy_project(tmp_path / "shop"), BackendChoice.DOCKER, {"POSTGRES_IMAGE": NOWHERE})
    done = checkout.invoke("up")
    assert done.returncode == 3
    assert NOWHERE in done.stderr
    assert things_of(checkout.project, BackendChoice.DOCKER) == []


@pytest.mark.slow
def test_a_first_hour_goes_on_without_the_image(tmp_path: Path) -> None:
    """Under `auto` a first `up` goes on with plain processes, and the next keeps to their data, remembered or not."""
    environ = {"STACK_BACKEND": "auto", "POSTGRES_IMAGE": NOWHERE}
    checkout = Checkout(copy_project(tmp_path / "shop"), BackendChoice.EMBEDDED, environ)
    try:
        checkout.succeed("up")
        assert checkout.status()["backend"] == "embedded"
        checkout.succeed("down")
        (state_directory(checkout.project) / "state.json").unlink()
        checkout.succeed("up", POSTGRES_IMAGE="postgres:16")
        assert checkout.status()["backend"] == "embedded"
        assert things_of(checkout.project, BackendChoice.DOCKER) == []
    finally:
        checkout.invoke("down", "--volumes", "--yes")


def test_a_later_hour_does_not_go_elsewhere(serve: Serve) -> None:
    """Under `auto` too, a stack of containers that lacks an image now is an error, and nothing else is started."""
    served = serve(BackendChoice.DOCKER)
    before = served.status()
    done = served.invoke("up", STACK_BACKEND="auto", POSTGRES_IMAGE=NOWHERE)
    assert done.returncode == 3
    assert NOWHERE in done.stderr
    assert served.status() == before
    assert things_of(served.project, BackendChoice.EMBEDDED) == []
