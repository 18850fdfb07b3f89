"""A disk that is full keeps nobody from stopping the stack, and is named by what cannot go on."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from infra.config.identity import state_directory
from infra.config.settings import BackendChoice, Role
from tests.kit.checkout import Checkout
from tests.kit.world import things_of

_MEGABYTES = {BackendChoice.EMBEDDED: 160, BackendChoice.DOCKER: 1}
FillUp = Callable[[], Path]


@pytest.fixture
def fill_up(checkout: Checkout) -> Iterator[FillUp]:
    """Put the state of the checkout's stack on a small file system; give what fills it and names the file that does."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    folder = state_directory(checkout.project)
    folder.mkdir(parents=True)
    size = f"size={_MEGABYTES[checkout.backend]}m"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"{size},mode=755", "none", str(folder)], check=False)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("this machine lets nobody mount a file system")

    def fill() -> Path:
        filler = folder / "filler"
        with filler.open("wb", buffering=0) as stream, suppress(OSError):
            while True:
                stream.write(bytes(4096))
        return filler

    yield fill
    checkout.invoke("down", "--volumes", "--yes")
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


@pytest.mark.slow
def test_a_full_disk_keeps_nobody_from_stopping(checkout: Checkout, fill_up: FillUp) -> None:
    """With no byte left for its notes `down` stops both servers, `up` names the disk, and with room the rows are there.

    The kind: a note that a command writes before its deed, and whose failure keeps the deed from being done.
    """
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    filler = fill_up()
    for command in ("status", "plan"):
        checkout.succeed(command)
    down = checkout.succeed("down")
    assert "stopped" in down.stdout
    assert not [thing for thing in things_of(checkout.project, checkout.backend) if thing.startswith("process")]
    assert checkout.status()["services"] == {}
    doctor, up = checkout.invoke("doctor"), checkout.invoke("up")
    assert doctor.returncode == up.returncode == 3
    assert "Make room there" in doctor.stdout
    assert "No space left on device" in up.stderr
    assert "Traceback" not in up.stderr
    assert checkout.status()["services"] == {}
    filler.unlink()
    checkout.succeed("up")
    assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]
