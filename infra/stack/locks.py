"""The locks that keep commands on one stack, and stacks that choose ports, from each other."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from infra.config.identity import Project, state_directory
from infra.config.record import unusable


@contextmanager
def project_lock(project: Project, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the project's lock; every command that changes the stack does.

    A kernel lock (flock(2)), so that it is free as soon as its holder is dead, however it ended. Names the command that
    it waits for.
    """
    with _locked(state_directory(project) / "lock", say) as stream:
        with suppress(OSError):  # on a full disk the lock is held all the same, and its holder has no name
            os.truncate(stream.fileno(), 0)
            os.write(stream.fileno(), f"pid {os.getpid()}\n".encode())  # past the stream, which would try it again
        try:
            yield
        finally:
            _leave_nothing_empty(state_directory(project))


def _leave_nothing_empty(directory: Path) -> None:
    """Remove a folder that holds nothing but the lock: who waits for that finds it gone, and makes another."""
    with suppress(OSError):  # it is gone already, or is where a file system is mounted
        if [found.name for found in directory.iterdir()] == ["lock"]:
            shutil.rmtree(directory)


@contextmanager
def ports_claimed(project: Project) -> Iterator[None]:
    """Keep the other stacks of this user from choosing ports, until those of `project` are listened on."""
    with _open(state_directory(project).parent / "ports.lock") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _locked(path: Path, say: Callable[[str], None]) -> TextIO:
    """Open and lock the file; try again where its last holder removed it with all else of the project."""
    while True:
        stream = _open(path)
        _take(stream, say)
        if path.exists() and path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
            return stream
        stream.close()


def _take(stream: TextIO, say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        say(f"waiting for another command on this stack ({stream.read().strip() or 'starting'})")
        fcntl.flock(stream, fcntl.LOCK_EX)


@contextmanager
def undisturbed(project: Project, say: Callable[[str], None]) -> Iterator[None]:
    """Keep the commands that change the stack away while it is looked at; make nothing, not even the lock's file."""
    try:
        stream = (state_directory(project) / "lock").open(encoding="utf-8")
    except OSError:
        yield
        return
    with stream:
        _take(stream, say)
        yield


def lock_holder(project: Project) -> str | None:
    """Name the command that changes the stack just now, None where there is none. Waits for nobody."""
    try:
        with (state_directory(project) / "lock").open(encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return stream.read().strip() or "a command that starts"
    except OSError:
        pass
    return None


def _open(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="utf-8")
    except OSError as error:
        raise unusable(path.parent, error.strerror) from None
