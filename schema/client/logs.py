"""Structured log lines: key=value on stderr, from the level that the settings name."""

import logging
import sys
from typing import Any

import structlog

from infra.config.errors import ConfigError
from infra.config.settings import Settings


def logger(settings: Settings) -> Any:
    """Return a structlog logger; an application that has configured structlog keeps its own configuration.

    Raises:
        ConfigError: LOG_LEVEL names no level.
    """
    if not structlog.is_configured():
        configure(settings)
    return structlog.get_logger("groundwork")


def configure(settings: Settings) -> None:
    """Configure structlog for this process.

    Raises:
        ConfigError: LOG_LEVEL names no level.
    """
    level = logging.getLevelNamesMapping().get(settings.log_level.upper())
    if level is None:
        raise ConfigError(
            f"LOG_LEVEL cannot be used: {settings.log_level!r} is not a level. Write DEBUG, INFO, WARNING or ERROR."
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(),
    )


class _Lines:
    """Writes lines to stderr; structlog's own class has a lock, which a forked child could inherit locked."""

    def write(self, line: str) -> None:
        # Looked up for each line: a test or a daemon may put another stream in the place of stderr.
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = write


def echo_to_stderr() -> None:
    """Send SQLAlchemy's statement echo to stderr; its own default is stdout, which belongs to a command's output."""
    echo = logging.getLogger("sqlalchemy.engine.Engine")
    if not echo.handlers:
        echo.addHandler(logging.StreamHandler(sys.stderr))
