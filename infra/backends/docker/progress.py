"""Show the progress of a pull: a line for each layer on a terminal, a sum now and then elsewhere."""

import os
import time
from typing import Any, Protocol, TextIO

from infra.backends.protocol import Say

_SECONDS = 3
_BAR = 30
_SCREEN = (80, 24)
Event = dict[str, Any]  # the engine's JSON, as its API names it ("Create an image")


class Progress(Protocol):
    """Receives each event of a pull."""

    def add(self, event: Event) -> None:
        """Take in an event, and show it where it is time to."""


def progress_on(stream: TextIO, reference: str, say: Say) -> Progress:
    """Return what shows the pull of `reference` to whoever reads `stream`."""
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Layers(stream)
    return Sums(reference, say)


class Sums:
    """Says every few seconds how much of the layers is here."""

    def __init__(self, reference: str, say: Say) -> None:
        self._reference = reference
        self._say = say
        self._layers: dict[str, tuple[int, int]] = {}
        self._next = time.monotonic() + _SECONDS

    def add(self, event: Event) -> None:
        """Take in an event."""
        detail = event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and detail.get("total"):
            self._layers[event["id"]] = (detail["current"], detail["total"])
        if self._layers and time.monotonic() >= self._next:
            self._next = time.monotonic() + _SECONDS
            here, total = (sum(part) / 1e6 for part in zip(*self._layers.values(), strict=True))
            self._say(f"pulling {self._reference}: {here:.0f} of {total:.0f} MB")


class Layers:
    """Draws a line for each layer, and draws it again in its place.

    Whatever is drawn goes out in one piece that ends below the last line, and no mode of the terminal is changed: an
    interrupt at any moment leaves nothing to put right. Sequences: ECMA-48, 8.3 (CUU, CUD, EL).
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: dict[str, str] = {}

    def add(self, event: Event) -> None:
        """Take in an event and draw it, where it is a layer's and says something new."""
        layer, status = event.get("id"), str(event.get("status", ""))
        if not layer or status.startswith("Pulling from"):
            return
        columns, rows = _size(self._stream)
        line = layer_line(layer, status, event.get("progressDetail") or {})[: columns - 1]
        if self._lines.get(layer) == line:
            return
        new = layer not in self._lines
        self._lines[layer] = line
        up = len(self._lines) - list(self._lines).index(layer)
        if new:
            self._draw(f"{line}\n")
        elif up < rows:  # what has left the screen at the top is out of reach
            self._draw(f"\x1b[{up}A\x1b[2K{line}\r\x1b[{up}B")

    def _draw(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def layer_line(layer: str, status: str, detail: dict[str, Any]) -> str:
    """Return a layer's line, with a bar while it is known how much of it there is to do."""
    here, total = detail.get("current", 0), detail.get("total", 0)
    if not total:
        return f"{layer}: {status}"
    done = min(_BAR, _BAR * here // total)
    return f"{layer}: {status:11} [{'=' * done:{_BAR}}] {here / 1e6:.1f} of {total / 1e6:.1f} MB"


def _size(stream: TextIO) -> tuple[int, int]:
    """Return a terminal's columns and rows; a usual screen's where it does not know them."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except OSError:
        return _SCREEN
    return size.columns or _SCREEN[0], size.lines or _SCREEN[1]
