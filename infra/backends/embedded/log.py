"""Read a server's log file, line by line."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TextIO

from infra.config.errors import EnvironmentFault


def read_log(path: Path, lines: int, *, follow: bool) -> Iterator[str]:
    """Yield the last `lines` of a log, then with `follow` each new one; nothing where there is no log.

    A server that is started again writes on in the same file, so following goes on until the file is removed.

    Raises:
        EnvironmentFault: the system tells nobody more of what happens to files.
    """
    try:
        log = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with log:
        for line in deque(log, maxlen=lines):
            yield line.rstrip("\n")
        if follow:
            with _changes(path.parent) as changed:
                yield from _grown(log, changed)


def _grown(log: TextIO, changed: Event) -> Iterator[str]:
    partial = ""
    while True:
        changed.clear()  # before looking: what happens after that sets it again
        partial += log.readline()
        if partial.endswith("\n"):
            yield partial.rstrip("\n")
            partial = ""
        elif os.fstat(log.fileno()).st_nlink == 0:
            return
        else:
            changed.wait()


@contextmanager
def _changes(folder: Path) -> Iterator[Event]:
    """Give an event that is set whenever something happens to a file in `folder`."""
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    changed = Event()

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - the library's signature
            changed.set()

    observer = Observer()
    observer.schedule(Handler(), str(folder))
    try:
        observer.start()
    except OSError as error:
        raise EnvironmentFault(
            f"The log cannot be followed: the system watches no more files ({error.strerror}). End a program that "
            "watches many, or read it without --follow."
        ) from None
    try:
        yield changed
    finally:
        observer.stop()
