"""What a proof is good for."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.backends.protocol import Server
from infra.config.identity import OUR_SERVICES, Service
from infra.config.record import Record
from infra.config.secret import Secret
from infra.config.settings import BackendChoice
from infra.stack.lifecycle import is_proven
from infra.stack.readiness import Preparation, fingerprint
from tests.kit.stack import make_settings

SETTINGS = make_settings()
SERVERS = {
    service: Server(service, 5432, datetime(2026, 1, 1, tzinfo=UTC), f"first start of {service}", "process 1")
    for service in OUR_SERVICES
}


@pytest.fixture
def prepare(tmp_path: Path) -> Preparation:
    """Give a preparation whose code is a file of the test's own."""
    code = tmp_path / "roles.py"
    code.write_text("first")
    return Preparation(lambda _admin, _settings: None, (code,))


def record(prepare: Preparation) -> Record:
    """Return what is remembered of a stack that was proven."""
    proven = fingerprint(SERVERS, SETTINGS, prepare)
    return Record(backend=BackendChoice.DOCKER, path="/somewhere", ports={}, proven=proven)


def test_a_proof_stands_while_nothing_changes(prepare: Preparation) -> None:
    """The same servers, passwords and preparation need no new proof; a stack that was never proven does."""
    assert is_proven(record(prepare), SERVERS, SETTINGS, prepare)
    assert not is_proven(None, SERVERS, SETTINGS, prepare)


@pytest.mark.parametrize("key", ["postgres", "app_owner", "app_user", "app_maintenance", "redis"])
def test_another_password_asks_for_a_proof(prepare: Preparation, key: str) -> None:
    """Each of the passwords is part of what was proven."""
    change: dict[str, Any] = {f"{key}_password": Secret("another")}
    assert not is_proven(record(prepare), SERVERS, replace(SETTINGS, **change), prepare)


@pytest.mark.parametrize("service", OUR_SERVICES)
def test_another_start_asks_for_a_proof(prepare: Preparation, service: Service) -> None:
    """A server that was started by somebody else, or is gone, was not proven."""
    restarted = SERVERS | {service: SERVERS[service]._replace(start_id="second start")}
    gone = {other: SERVERS[other] for other in OUR_SERVICES if other is not service}
    assert not is_proven(record(prepare), restarted, SETTINGS, prepare)
    assert not is_proven(record(prepare), gone, SETTINGS, prepare)


def test_another_preparation_asks_for_a_proof(prepare: Preparation) -> None:
    """Changed code may prepare the database otherwise."""
    before = record(prepare)
    prepare.code[0].write_text("second")
    assert not is_proven(before, SERVERS, SETTINGS, prepare)
