"""Move migrations to other numbers on the disk: all of them or none."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from infra.config.files import draft_for
from schema.errors import MigrationError
from schema.migration.file_order import MigrationFile, Place, text_at

_SIGNALS = {signal.SIGINT, signal.SIGTERM}


@contextmanager
def move_files(places: Mapping[MigrationFile, Place]) -> Iterator[tuple[Path, ...]]:
    """Move files for a block, which gets their new paths; where the block fails, the folder is as it was.

    Every new text is on the disk before the first file is replaced, and no signal interrupts the replacing. A machine
    that stops within these few milliseconds leaves files under both numbers; version control has the former ones.

    Raises:
        MigrationError: a file cannot be read or written, or a new name is taken.
    """
    before = {file.path: file.path.read_bytes() for file in places}
    after = {place.path: text_at(file, place) for file, place in places.items()}
    if taken := [path.name for path in after if path not in before and path.exists()]:
        raise MigrationError(
            f"{', '.join(taken)} is there already, so nothing can be renamed to it. Nothing was changed.",
            files=tuple(taken),
        )
    try:
        _replace(before, after)
        yield tuple(after)
    except BaseException as error:
        with _uninterrupted():
            _replace(after, before)
        if isinstance(error, OSError):
            raise MigrationError(f"The files could not be renumbered, and are as they were: {error}.") from error
        raise


def _replace(before: Mapping[Path, bytes], after: Mapping[Path, bytes]) -> None:
    former = next((place for place in before if place.exists()), None)
    with ExitStack() as drafts:
        for path, text in after.items():
            drafts.enter_context(draft_for(path, like=former)).write_bytes(text)
        with _uninterrupted():
            drafts.close()
            for path in before.keys() - after.keys():
                path.unlink(missing_ok=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let signals wait until the block is done."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
