"""Files that are written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_DEFAULT_MODE = 0o666  # before the umask


def write_atomically(path: Path, content: str | bytes, *, mode: int | None = None, durable: bool = False) -> None:
    """Write a file whole or not at all, as `draft_for` does; text as UTF-8.

    Raises:
        OSError: it cannot be written; `filename` is `path`, also where the disk is full.
    """
    with draft_for(path, mode=mode, durable=durable) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def draft_for(
    path: Path, *, mode: int | None = None, like: Path | None = None, replace: bool = True, durable: bool = False
) -> Iterator[Path]:
    """Give an empty file in the folder of `path` to a block that fills it; after the block it has the name `path`.

    A reader sees the former content or the new one. A block that raises leaves `path` as it was, and no draft. Where
    `path` is a symbolic link, the file that it leads to is replaced.

    `mode` is the file's mode, exactly. Without it, mode and owner are those of the file `like`, else of the former one
    at `path`, else what the system gives a new file. With `replace` false a file that is there already is an error,
    found after the block. With `durable` content and name survive a power cut.

    Raises:
        FileExistsError: `replace` is false, and something has the name by now.
        OSError: the file cannot be written; `filename` is `path`.
    """
    target = path.resolve() if replace else path
    draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        _make(draft, mode, like or target)
        yield draft
        if durable:
            _sync(draft)
        if replace:
            draft.replace(target)
        else:
            os.link(draft, target)
        if durable:
            _sync(target.parent)
    except OSError as error:
        if error.filename in {None, str(draft)}:
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):
            draft.unlink()


def _make(draft: Path, mode: int | None, former: Path) -> None:
    """Make the draft; before it holds anything it is no more accessible than the file will be."""
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _DEFAULT_MODE if mode is None else mode)
    try:
        if mode is not None:
            os.fchmod(descriptor, mode)  # whatever the umask is
        else:
            _make_alike(descriptor, former)
    finally:
        os.close(descriptor)


def _make_alike(descriptor: int, former: Path) -> None:
    with suppress(FileNotFoundError):
        found = former.stat()
        for owner, group in ((-1, found.st_gid), (found.st_uid, -1)):
            with suppress(PermissionError):  # only root gives files away: another user's file becomes the writer's
                os.fchown(descriptor, owner, group)
        os.fchmod(descriptor, found.st_mode & 0o777)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
