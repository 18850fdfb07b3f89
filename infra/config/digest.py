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
        yield from sorted(_below(path, set()))


def _below(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the files below a folder, links followed; a link that leads back up is not."""
    if (real := folder.resolve()) in seen or not folder.is_dir():
        return
    seen.add(real)
    for found in folder.iterdir():
        if found.is_file():
            yield found
        elif found.name != "__pycache__":
            yield from _below(found, seen)
