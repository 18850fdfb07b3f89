"""What a program is told when there is no connection to be had."""

import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from infra.config.secret import Secret
from infra.config.settings import Role, Settings
from infra.config.urls import DatabaseUrl
from schema.client.engine import create_engine
from schema.errors import DatabaseUnavailable
from tests.kit.availability import NO_FILE
from tests.kit.database import Logged, MakeEngine
from tests.kit.errors import about
from tests.kit.stack import RunningStack

PASSWORD = "S3cret-hunter2"
SECOND = timedelta(seconds=1)
IMPATIENT = replace(Settings.load(NO_FILE, {}), database_connect_timeout=SECOND, database_connect_deadline=SECOND)


def url(port: int) -> DatabaseUrl:
    """Return the application's URL at a port of this machine."""
    return DatabaseUrl("app_user", Secret(PASSWORD), "127.0.0.1", port, "app")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Give a port that is taken and that nobody listens at."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Give a port at which somebody listens and never answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_a_server_that_is_away_is_one_error_within_the_deadline(
    closed_port: int, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting is tried again with growing pauses, of which the first is logged, and ends as one paragraph."""
    pauses: list[float] = []
    sleep = time.sleep

    def noted(seconds: float) -> None:
        pauses.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", noted)
    with pytest.raises(DatabaseUnavailable) as caught:
        create_engine(url(closed_port), IMPATIENT).connect()
    assert str(caught.value) == (
        f"No connection to database 'app' at 127.0.0.1:{closed_port} as app_user: Connection refused. "
        "Start the server (`invoke up`), or correct the URL."
    )
    assert [entry["seconds"] for entry in logged] == [IMPATIENT.database_connect_deadline.total_seconds()]
    assert len(pauses) > 2
    assert sum(pauses) < IMPATIENT.database_connect_deadline.total_seconds()
    assert pauses[-1] > pauses[0]


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up(silent_port: int) -> None:
    """The connect timeout bounds an attempt, also where the other side stays silent."""
    with pytest.raises(DatabaseUnavailable, match="timeout"):
        create_engine(url(silent_port), IMPATIENT).connect()


def test_no_password_in_the_error_or_its_traceback(closed_port: int) -> None:
    """What ends in a log or an issue may be shown to anybody."""
    with pytest.raises(DatabaseUnavailable) as caught:
        create_engine(url(closed_port), replace(IMPATIENT, database_connect_deadline=SECOND / 10)).connect()
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in repr(caught.value)


def test_an_engine_does_not_show_its_password(closed_port: int) -> None:
    """Neither the engine nor its URL holds it."""
    engine = create_engine(url(closed_port), IMPATIENT)
    assert PASSWORD not in repr(engine) + engine.url.render_as_string(hide_password=False)


def test_a_wrong_password_stops_at_once(stack: RunningStack, make_engine: MakeEngine, logged: Logged) -> None:
    """Nothing is tried again where waiting heals nothing."""
    engine = make_engine(replace(stack.url(Role.USER), password=Secret(PASSWORD)))
    with pytest.raises(
        DatabaseUnavailable, match="password authentication failed", check=about(role=str(Role.USER), transient=False)
    ):
        engine.connect()
    assert logged == []


def test_a_missing_database_stops_at_once(stack: RunningStack, make_engine: MakeEngine, logged: Logged) -> None:
    """The database that is not there is named."""
    engine = make_engine(stack.url(Role.USER).on("nowhere"))
    with pytest.raises(
        DatabaseUnavailable, match=r'"nowhere" does not exist', check=about(database="nowhere", transient=False)
    ):
        engine.connect()
    assert logged == []
