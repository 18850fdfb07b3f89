"""The streams of a command, whatever the shell has made of them: closed, no longer read, or not of UTF-8."""

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO


def make_usable() -> None:
    """Let nothing that a command reads or prints end it: what nobody reads is dropped, what has no sign is escaped.

    A closed stream is Python's None. Unread progress on stderr, as with `2>&1 | head -0`, is no reason to
    take back what was begun. A stream that a caller has put in place is left to it.
    """
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - for as long as the process
    sys.stdout = sys.stdout or _nowhere()
    if sys.__stderr__ is None:
        sys.stderr = _nowhere()
    elif sys.stderr is sys.__stderr__:
        sys.stderr = _tolerant(sys.__stderr__)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Print what is buffered; where its reader has ended, as `head` does, drop it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


class _Unread(io.FileIO):
    """A file that takes what nobody reads."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def _tolerant(stream: TextIO) -> TextIO:
    raw: Any = _Unread(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=True, write_through=True)
