"""How a pull is shown, on terminals of any size and where there is none."""

import fcntl
import io
import os
import re
import struct
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from infra.backends.docker.progress import Layers, Sums, progress_on

ROWS, COLUMNS = 5, 30


@pytest.fixture
def small() -> Iterator[tuple[TextIO, int]]:
    """Give a terminal of five short lines, and where to read what was written to it."""
    own, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with os.fdopen(theirs, "w") as stream:
        yield stream, own
    os.close(own)


def event(layer: int, here: int) -> dict[str, object]:
    """Make what the engine says of a layer that arrives."""
    return {
        "id": f"layer{layer}",
        "status": "Downloading",
        "progressDetail": {"current": here * 1_000_000, "total": 20_000_000},
    }


def test_a_small_terminal_is_not_overrun(small: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is as wide as the terminal, where it would wrap, and no line is drawn that has left it at the top."""
    monkeypatch.setenv("TERM", "xterm")
    stream, own = small
    shown = progress_on(stream, "an image", lambda _: None)
    assert isinstance(shown, Layers)
    for here in (1, 10):
        for layer in range(8):
            shown.add(event(layer, here))
    stream.write("end")
    stream.flush()
    said = ""
    while not said.endswith("end"):  # a terminal hands over what was written piece by piece
        said += os.read(own, 65536).decode()
    said = said.removesuffix("end")
    assert max(len(line) for line in re.split(r"\x1b\[\d*[ABK]|\r|\n", said)) == COLUMNS - 1
    assert {int(up) for up in re.findall(r"\x1b\[(\d+)A", said)} == set(range(1, ROWS))


def test_a_dumb_terminal_gets_plain_lines(small: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that moves no cursor is written to as a file is."""
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_on(small[0], "an image", lambda _: None), Sums)


def test_elsewhere_a_sum_is_said_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no terminal gets one line for all layers together, every few seconds."""
    said: list[str] = []
    now = 100.0
    monkeypatch.setattr("infra.backends.docker.progress.time.monotonic", lambda: now)
    shown = progress_on(io.StringIO(), "an image", said.append)
    for seconds in range(7):
        now = 100.0 + seconds
        shown.add(event(1, seconds))
        shown.add(event(2, seconds))
    assert said == ["pulling an image: 5 of 40 MB", "pulling an image: 11 of 40 MB"]
