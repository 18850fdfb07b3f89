"""A stack of plain processes lives below any folder that a file system allows, and nothing of it is left behind."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil
import pytest

from infra.backends.embedded import backend as embedded
from infra.backends.embedded.backend import EmbeddedBackend
from infra.config.endpoints import admin_url
from infra.config.identity import OUR_SERVICES, Project, Service
from infra.config.settings import BackendChoice
from infra.declaration.spec import build_stack
from infra.stack.ports import choose_ports, spec_ports
from infra.stack.probes import probe_postgres, probe_redis
from infra.stack.waiting import wait_until_ready
from tests.kit.availability import needs
from tests.kit.stack import make_settings, say

SLOW = pytest.mark.slow
ODD = [
    pytest.param("josé", id="accent", marks=SLOW),
    pytest.param('o\'neill "and" $HOME `id`', id="quotes"),
    pytest.param("emoji 🐘 {0} %s", id="emoji", marks=SLOW),
    pytest.param("-rf", id="option", marks=SLOW),
]


@pytest.fixture(params=ODD)
def home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder of that name, where the state of stacks is; the servers' user can pass through it."""
    needs(BackendChoice.EMBEDDED, request.config)
    above = Path(tempfile.mkdtemp())
    above.chmod(0o755)
    folder = above / request.param
    folder.mkdir(mode=0o755)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    monkeypatch.setattr("infra.config.identity.ROOT_STATE", folder / "groundwork")
    monkeypatch.setattr(embedded, "ROOT_STATE", folder / "groundwork")
    yield folder
    shutil.rmtree(above)


def working_in(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in a folder or below it."""
    found = psutil.process_iter(["cwd"])
    return [process for process in found if Path(process.info["cwd"] or "/").is_relative_to(folder)]


def test_plain_processes_start_and_stop_wherever_the_home_is(home: Path) -> None:
    """Both servers start, serve, are found again and end, whatever the name of a folder above them holds.

    The kind: text of the file system that is read or written as ASCII or UTF-8, or handed on unquoted.
    """
    settings, project = make_settings(), Project.of(home / "shop")
    spec = build_stack(settings, project)
    # Not the standard ports: while these servers are down between their two starts, another stack may choose those.
    spec = spec.on_ports(choose_ports(spec._replace(durable=False), {}, {}, say))
    backend, ports = EmbeddedBackend(project), spec_ports(spec)
    try:
        for _ in range(2):
            backend.up(spec, ExitStack())
            alive = partial(backend.still_alive, Service.POSTGRES)
            wait_until_ready(
                partial(probe_postgres, admin_url(settings, ports), project.id, spec.postgres.version),
                alive,
                spec.start_timeout,
            )
            wait_until_ready(
                lambda: probe_redis(ports[Service.REDIS], settings.redis_password, settings.redis_version),
                alive,
                spec.start_timeout,
            )
            assert set(EmbeddedBackend(project).servers()) == set(OUR_SERVICES)
            assert EmbeddedBackend(project).plan(spec) == ()
            backend.down(volumes=False)
            assert working_in(home) == []
    finally:
        backend.down(volumes=True)
    assert working_in(home) == []
    assert {path.name for path in home.joinpath("groundwork").iterdir()} <= {"templates"}
