import logging
from collections.abc import Iterator

import pytest
import structlog

from infra.config.errors import ConfigError
from infra.config.settings import Settings
from schema.client.logs import logger
from tests.kit.availability import NO_FILE


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Leave structlog as it was found: not configured."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def settings(**values: str) -> Settings:
    """Return settings made of these values alone."""
    return Settings.load(NO_FILE, values)


def test_a_line_goes_to_stderr_as_key_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    """What a command prints stays its own, and a line can be read by programs."""
    logger(settings()).info("database connected", host="127.0.0.1", role="app_user")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("timestamp=")
    assert said.err.endswith(' level=info event="database connected" host=127.0.0.1 role=app_user\n')


@pytest.mark.parametrize(("level", "shown"), [("DEBUG", "dw"), ("INFO", "w"), ("warning", "w"), ("ERROR", "")])
def test_the_level_is_the_settings(level: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines below LOG_LEVEL, in capitals or not, are not written."""
    log = logger(settings(LOG_LEVEL=level))
    log.debug("quiet")
    log.warning("loud")
    said = capsys.readouterr().err
    assert ("event=quiet" in said, "event=loud" in said) == ("d" in shown, "w" in shown)


def test_what_is_no_level_is_the_users_error() -> None:
    """The setting is named, and what may stand there."""
    with pytest.raises(ConfigError, match=r"LOG_LEVEL cannot be used: 'LOUD' is not a level\. Write DEBUG"):
        logger(settings(LOG_LEVEL="LOUD"))


def test_an_application_keeps_its_own_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the application has configured structlog, its processors and level hold."""
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    logger(settings(LOG_LEVEL="ERROR")).debug("database connected")
    assert capsys.readouterr().out == '{"event": "database connected"}\n'
