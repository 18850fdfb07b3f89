"""A terminal that a command runs in, and what stands on its screen."""

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic

_PATIENCE = 60
# What moves the cursor up or down or clears its line (ECMA-48, 8.3), what ends a line, and text.
_PIECES = re.compile(r"\x1b\[(\d*)([ABK])|([\r\n])|([^\x1b\r\n]+)|(.)", re.DOTALL)


class Terminal:
    """A command in a terminal of 80 columns; `said` is all that it wrote."""

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str], rows: int = 24) -> None:
        self._own, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
        self.process = subprocess.Popen(
            command, cwd=folder, env=dict(environ) | {"TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self.said = ""

    def read_until(self, seen: Callable[[str], object]) -> None:
        """Read until what was written shows what is waited for, or the command has closed its terminal."""
        ends = monotonic() + _PATIENCE
        while not seen(self.said):
            assert select.select([self._own], [], [], max(0.0, ends - monotonic()))[0], self.said
            try:
                self.said += os.read(self._own, 65536).decode()
            except OSError:  # EIO: nobody has the other end any more
                return

    def end(self) -> int:
        """Read to the end; return the command's exit code."""
        self.read_until(lambda _: False)
        return self.process.wait(_PATIENCE)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._own)


def screen(said: str) -> list[str]:
    """Return the lines that a screen of any height shows in the end; a sequence that is not known here is an error."""
    lines, row = [""], 0
    for count, how, ending, text, other in _PIECES.findall(said):
        assert not other, f"an unknown sequence in {said!r}"
        if how == "K":
            lines[row] = ""
        elif how:
            row += int(count or 1) * (-1 if how == "A" else 1)
        elif ending == "\n":
            row += 1
        lines += [""] * (row + 1 - len(lines))
        lines[row] += text
    return lines
