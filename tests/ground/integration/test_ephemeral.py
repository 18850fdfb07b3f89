"""The server that stands in where no stack runs."""

from pathlib import Path

import psutil
import pytest

from infra.config.settings import BackendChoice, Role, Settings
from infra.config.urls import DatabaseUrl
from infra.stack.ephemeral import ephemeral_postgres
from infra.stack.readiness import Preparation
from schema.admin import roles
from schema.client.connection import connect
from tests.kit.availability import needs


def _prepare(admin: DatabaseUrl, settings: Settings) -> None:
    roles.ensure(admin, settings)


def test_an_ephemeral_server_serves_the_owner_and_is_gone_afterwards(
    settings: Settings, request: pytest.FixtureRequest
) -> None:
    """The owner may make databases on it; with the block its process ends and its data goes."""
    needs(BackendChoice.EMBEDDED, request.config)
    before = set(psutil.pids())
    with ephemeral_postgres(settings, Preparation(_prepare, ()), lambda _: None) as owner:
        assert owner.user == str(Role.OWNER)
        with connect(owner, settings, autocommit=True) as connection:
            connection.execute("CREATE DATABASE made")
        # Asked for all at once: a process of another test that ends meanwhile is passed over.
        started = [process for process in psutil.process_iter(["name", "cmdline"]) if process.pid not in before]
        named = [process for process in started if process.info["name"] == "postgres"]
        [server] = [process for process in named if f"={owner.port}" in " ".join(process.info["cmdline"] or ())]
        folder = Path(server.cwd())
    assert not server.is_running()
    assert not folder.parents[1].exists()
