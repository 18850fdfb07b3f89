"""Read a server's log file, line by line."""

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

_LOOK_SECONDS = 0.1


def read_log(path: Path, lines: int, *, follow: bool) -> Iterator[str]:
    """Yield the last `lines` of a log, then with `follow` each new one; nothing where there is no log.

    A server that is started again writes on in the same file, so following goes on until the file is removed.
    """
    try:
        log = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with log:
        for line in deque(log, maxlen=lines):
            yield line.rstrip("\n")
        if follow:
            yield from _grown(log)


def _grown(log: TextIO) -> Iterator[str]:
    partial = ""
    while os.fstat(log.fileno()).st_nlink:
        partial += log.readline()
        if partial.endswith("\n"):
            yield partial.rstrip("\n")
            partial = ""
        else:
            time.sleep(_LOOK_SECONDS)
