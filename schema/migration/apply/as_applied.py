"""The migrations as the ledger has them, in place of the checkout's, so that they can be taken back by their own text.

The files of a branch that was renumbered, or that is not checked out, are not those that the database knows.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.config.settings import CHECKOUT, Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import connect
from schema.errors import MigrationError
from schema.migration.apply.fingerprint import migration_folders
from schema.migration.apply.ledger import Entry, read
from schema.migration.apply.session import place_of
from schema.migration.file_order import read_files
from schema.migration.files import applied_revisions, open_scripts


@contextmanager
def checkout_as_applied(owner: DatabaseUrl, settings: Settings, checkout: Path = CHECKOUT) -> Iterator[Path]:
    """Give a checkout, for a block, whose migrations are those that the database has applied, as they were applied.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: the ledger does not know a revision, and this checkout has no file for it.
    """
    with connect(owner, settings, autocommit=True) as connection:
        at, entries = applied_revisions(connection), read(connection)
    with TemporaryDirectory(prefix="groundwork-applied-") as folder:
        made = Path(folder)
        versions = _copy_environment(checkout, made)
        left, done = list(at), set[str]()
        while left:
            if (revision := left.pop()) not in done:
                done.add(revision)
                entry = entries.get(revision)
                left += _write(entry, versions) if entry else _copy(revision, checkout, versions, place_of(owner))
        yield made


def _copy_environment(checkout: Path, made: Path) -> Path:
    """Copy what runs the migrations, without them, and where pyproject.toml says it is; return their folder."""
    shutil.copy(checkout / "pyproject.toml", made)
    versions = Path(open_scripts(checkout)[1].versions)
    for folder in migration_folders(checkout):
        for file in folder.iterdir():
            if file.is_file() and file.parent != versions:
                target = made / folder.relative_to(checkout)
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    inside = made / versions.relative_to(checkout)
    inside.mkdir(parents=True, exist_ok=True)
    return inside


def _write(entry: Entry, versions: Path) -> list[str]:
    (versions / Path(entry.file).name).write_bytes(entry.content.encode())
    return entry.follows


def _copy(revision: str, checkout: Path, versions: Path, place: str) -> list[str]:
    """Copy the checkout's file of a revision that was applied before there was a ledger."""
    files = [file for file in read_files(Path(open_scripts(checkout)[1].versions)) if file.revision == revision]
    if len(files) != 1:
        raise MigrationError(
            f"The ledger of {place} does not know revision {revision!r}, and this checkout holds "
            f"{'no file' if not files else 'several files'} with it. Check out the branch that has it. Nothing was "
            "changed.",
            revision=revision,
        )
    shutil.copy(files[0].path, versions)
    return list(files[0].follows)
