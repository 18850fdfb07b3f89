"""What is logged: standard logging, so that an application configures it as all else."""

import logging

import pytest

from infra.config.errors import ConfigError
from infra.config.settings import Settings
from schema.client.logs import log
from tests.kit.availability import NO_FILE
from tests.kit.database import Logged
from tests.kit.errors import about


def test_an_event_has_its_data_in_the_message_and_on_the_record(caplog: pytest.LogCaptureFixture) -> None:
    """People read the one, a formatter of JSON the other; a line end in the data begins no new line."""
    log(logging.WARNING, "maintenance session", reason="ticket 7\nof today", role="app_maintenance")
    [record] = caplog.records
    assert (record.name, record.levelname) == ("groundwork", "WARNING")
    assert record.getMessage() == "maintenance session: reason='ticket 7\\nof today' role=app_maintenance"
    assert vars(record).items() >= {"event": "maintenance session", "reason": "ticket 7\nof today"}.items()


def test_the_application_says_what_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Unless it asks for more, only warnings are; nothing here sets a level or adds a handler."""
    logger = logging.getLogger("groundwork")
    assert (logger.level, logger.handlers, logger.propagate) == (logging.NOTSET, [], True)
    log(logging.INFO, "database connected")
    assert caplog.records == []
    with caplog.at_level("INFO"):
        log(logging.INFO, "database connected")
    assert len(caplog.records) == 1


def test_the_fixture_collects_every_level(logged: Logged) -> None:
    """A product's test asserts on events by their names and data."""
    log(logging.DEBUG, "database connection closed", host="127.0.0.1")
    assert logged == [{"event": "database connection closed", "host": "127.0.0.1", "level": "DEBUG"}]


@pytest.mark.parametrize(("text", "level"), [("debug", "DEBUG"), ("Warning", "WARNING")])
def test_the_level_of_the_settings_is_one_of_standard_logging(text: str, level: str) -> None:
    """An application can hand it to logging as it is."""
    assert Settings.load(NO_FILE, {"LOG_LEVEL": text}).log_level == level
    assert level in logging.getLevelNamesMapping()


def test_what_is_no_level_is_the_users_error() -> None:
    """The setting is named, and what may stand there."""
    with pytest.raises(ConfigError, match="it is one of DEBUG, INFO, WARNING", check=about(setting="LOG_LEVEL")):
        Settings.load(NO_FILE, {"LOG_LEVEL": "LOUD"})
