"""The server that stands in where no stack runs."""

from pathlib import Path

import psutil
import pytest

from infra.ephemeral import ephemeral_postgres
from infra.readiness import Preparation
from infra.settings import BackendChoice, Role, Settings
from infra.urls import DatabaseUrl
from schema import roles
from schema.connect import connect
from tests.fixtures.availability import needs


def _prepare(admin: DatabaseUrl, settings: Settings) -> None:
    roles.ensure(admin, settings)


def test_an_ephemeral_server_serves_the_owner_and_is_gone_afterwards(
    settings: Settings, request: pytest.FixtureRequest
) -> None:
    """The owner may make databases on it; with the block its process ends and its data goes."""
    needs(BackendChoice.EMBEDDED, request.config)
    before = set(psutil.pids())
    with ephemeral_postgres(settings, Preparation(_prepare, ()), lambda _: None) as owner:
        assert owner.user == Role.OWNER
        with connect(owner, settings, autocommit=True) as connection:
            connection.execute("CREATE DATABASE made")
        # Asked for all at once: a process of another test that ends meanwhile is passed over.
        started = [one for one in psutil.process_iter(["name", "cmdline"]) if one.pid not in before]
        named = [one for one in started if one.info["name"] == "postgres"]
        [server] = [one for one in named if f"={owner.port}" in " ".join(one.info["cmdline"] or ())]
        folder = Path(server.cwd())
    assert not server.is_running()
    assert not folder.parents[1].exists()
