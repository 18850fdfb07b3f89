"""Put a folder back to what it was, so that every sample begins alike."""

from collections.abc import Iterator, Mapping
from pathlib import Path

Files = Mapping[str, bytes]
"""What the files below a folder hold, by path; what Python compiled of them is not among them."""


def read(folder: Path) -> Files:
    """Return the files below a folder; none where there is no such folder."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in _files(folder)}


def restore(folder: Path, wanted: Files) -> None:
    """Make the files below a folder these, with no empty folder left, and leave alone those that are so already."""
    for file in list(_files(folder)):
        if file.relative_to(folder).as_posix() not in wanted:
            file.unlink()
            _drop_empty(file.parent, folder)
    for name, content in wanted.items():
        write(folder / name, content)


def write(file: Path, content: bytes) -> None:
    """Make a file hold this. Where it does already, it keeps its time of change."""
    if not file.is_file() or file.read_bytes() != content:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def forget_compiled(*sources: Path) -> None:
    """Drop what Python compiled of source files, as if somebody had just written them."""
    for source in sources:
        for compiled in (source.parent / "__pycache__").glob(f"{source.stem}.*.pyc"):
            compiled.unlink()


def _drop_empty(inner: Path, outermost: Path) -> None:
    while inner != outermost and not any(inner.iterdir()):
        inner.rmdir()
        inner = inner.parent


def _files(folder: Path) -> Iterator[Path]:
    yield from (file for file in sorted(folder.rglob("*")) if file.is_file() and "__pycache__" not in file.parts)
