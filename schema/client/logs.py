"""What is logged: records of standard logging, named `groundwork`. Where they go is the application's choice."""

import logging
import sys

logger = logging.getLogger("groundwork")


def log(level: int, event: str, **data: object) -> None:
    """Log an event: its name and data are the message, and attributes of the record as well."""
    if logger.isEnabledFor(level):
        words = " ".join(f"{key}={_word(str(value))}" for key, value in data.items())
        logger.log(level, "%s: %s", event, words, extra={"event": event, **data})


def _word(text: str) -> str:
    return text if text.isprintable() and " " not in text else repr(text)


def echo_to_stderr() -> None:
    """Send SQLAlchemy's statement echo to stderr; its own default is stdout, which belongs to a command's output."""
    echo = logging.getLogger("sqlalchemy.engine.Engine")
    if not echo.handlers:
        echo.addHandler(logging.StreamHandler(sys.stderr))
