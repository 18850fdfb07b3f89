"""A build context: the files a Dockerfile copies and no others, as a tar archive in memory."""

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

Entry = tuple[str, Path]


def files_of(folder: Path) -> Iterator[Entry]:
    """Yield the files below `folder`, named relative to it, in a stable order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def packed(entries: Iterable[Entry]) -> io.BytesIO:
    """Pack files under their names, such that the same files give the same bytes.

    Owner, time and the checkout's umask are left out: the engine's build cache would take them for changes.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, path in entries:
            header = tarfile.TarInfo(name)
            header.size = path.stat().st_size
            header.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            with path.open("rb") as content:
                archive.addfile(header, content)
    buffer.seek(0)
    return buffer
