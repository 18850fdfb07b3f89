"""The folder of one server's data: what is in it, whether `up` made it, and how it is removed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from infra.backends.data_directory import LOST_AND_FOUND, MADE, MARKER
from infra.config.errors import StackError


@contextmanager
def readable(directory: Path) -> Iterator[None]:
    """Raise what keeps this user from reading a folder as a StackError: somebody else may have put data there."""
    try:
        yield
    except PermissionError as error:
        raise StackError(
            f"The data in {directory} cannot be read: {error.filename} is another user's. Nothing was started or "
            "changed. Give the folder and all that is in it to the user that `invoke up` is run as."
        ) from None


def read(path: Path) -> bytes | None:
    """Return a file's content, None where there is no such file."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def open_if_there(path: Path) -> Iterator[BinaryIO | None]:
    """Give a file to be read, None where there is no such file."""
    try:
        with readable(path.parent), path.open("rb") as stream:
            yield stream
    except (FileNotFoundError, NotADirectoryError):
        yield None


def any_entry(directory: Path) -> str | None:
    """Return the name of any entry of a folder, None where it is empty or is not there."""
    if not directory.is_dir():
        return None
    return next((found.name for found in directory.iterdir() if found.name != LOST_AND_FOUND), None)


def empty(directory: Path) -> None:
    """Remove all that is in a folder, and leave the folder: it may be where a file system is mounted."""
    for found in directory.iterdir():
        if found.is_dir() and not found.is_symlink():
            if found.name != LOST_AND_FOUND:
                shutil.rmtree(found)
        else:
            found.unlink()


def is_made_by_up(directory: Path) -> bool:
    """Return whether `up` made the data in a folder; an empty folder is nobody's."""
    made = (directory / MADE, directory / MARKER, directory.parent / MADE)
    return any(file.exists() for file in made) or any_entry(directory) is None


def remove_made(directory: Path, *beside: Path) -> None:
    """Remove data that `up` made, the files of the server `beside` it, and their folder where that leaves it empty."""
    if is_made_by_up(directory):
        shutil.rmtree(directory, ignore_errors=True)
    for file in (*beside, directory.parent / MADE):
        file.unlink(missing_ok=True)
    with suppress(OSError):
        directory.parent.rmdir()
