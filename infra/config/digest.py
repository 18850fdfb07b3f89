"""Whether files are still the same."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path


def digest(paths: Iterable[Path], *words: str) -> str:
    """Return one digest of files, of all files of folders but Python's caches, and of words.

    It changes with the content of a file, its name within its folder, and the order of paths and words. A path
    where nothing is does not count.
    """
    whole = hashlib.sha256("\0".join(words).encode())
    for path in paths:
        for file in files_of(path):
            content = file.read_bytes()
            whole.update(f"\0{file.relative_to(path.parent).as_posix()}\0{len(content)}\0".encode())
            whole.update(content)
    return whole.hexdigest()


def files_of(path: Path) -> Iterator[Path]:
    """Yield a file, or all files of a folder but Python's caches, in order; nothing where there is neither."""
    if path.is_file():
        yield path
    else:
        yield from sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
