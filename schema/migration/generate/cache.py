"""Answer "nothing changed" without SQLAlchemy, Alembic or a database, by the files of the last such answer.

`generate` compares what the migrations make with what the models declare, on a server that it empties first: the answer
follows from code and settings alone. A comparison that found nothing leaves a note with one digest of them. While they
are as they were, the answer is given again. The digest covers, by content:

- all files of `schema`, `infra`, the models' and the migrations' folders, pyproject.toml, tasks.py and .env;
- every other module of the user's own that the models import, wherever it lies, and which others lie beside it;
- the names and versions of the installed packages, Python's version and options, and the variables of the environment
  but for those that each terminal has its own of.

What models read besides, as a data file, the clock or a server, is not noticed: after such a change `generate` compares
again once any of the above is touched, or with --allow-drop. A file that was changed while the comparison ran leaves no
note, since nobody knows which of its two contents was compared.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from infra.config.digest import digest, files_of
from infra.config.files import write_atomically
from schema.migration.own_files import is_installed

_OF_TERMINALS = ("COLUMNS", "LINES", "OLDPWD", "PWD", "SHLVL", "SSH_", "TERM", "TMUX", "WINDOWID", "XDG_SESSION", "_")
# Their names have the version of a package, or are of one that is installed as it lies.
_OF_PACKAGES = {".dist-info", ".egg-info", ".pth"}
# A file's times lag behind the clock by a tick of the kernel's.
_TICK = 30_000_000
_SECOND = 1_000_000_000


class ComparisonCache:
    """Whether the last comparison's answer still stands. Made before the models are imported."""

    def __init__(self, checkout: Path, note: Path) -> None:
        self._checkout = checkout
        self._note = note
        self._begun = time.time_ns()

    def is_fresh(self) -> bool:
        """Return whether nothing has changed since a comparison that found nothing."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return bool(note["digest"] == self._digest(map(Path, note["modules"])))
        except (OSError, ValueError, TypeError, KeyError):
            return False

    def store(self) -> None:
        """Note what the comparison that has just found nothing was made of."""
        trees = [*self._paths()]
        modules = sorted(file for file in _modules_of_the_user() if not any(map(file.is_relative_to, trees)))
        changed = (_changed(file) for path in self._paths(modules) for file in files_of(path))
        with suppress(OSError):  # without a note the next answer takes longer
            if max(changed) < self._begun - _TICK:
                note = {"modules": [str(path) for path in modules], "digest": self._digest(modules)}
                self._note.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self._note, json.dumps(note), mode=0o600)  # the digest covers passwords

    def _digest(self, modules: Iterable[Path]) -> str:
        modules = [*modules]
        beside = (name for folder in sorted({module.parent for module in modules}) for name in _importable(folder))
        return digest(self._paths(modules), *beside, *self._surroundings())

    def _surroundings(self) -> Iterator[str]:
        """Yield what decides beside files: Python, what is installed for it, and the environment."""
        yield from (sys.version, str(sys.flags))
        # While models are imported, the checkout itself comes onto the path, once more each time.
        for folder in sorted({Path(folder).absolute() for folder in sys.path} - {self._checkout}):
            with suppress(OSError):
                yield from sorted(found.name for found in folder.iterdir() if found.suffix in _OF_PACKAGES)
        for name, value in sorted(os.environ.items()):
            if not name.startswith(_OF_TERMINALS):
                yield f"{name}={value}"

    def _paths(self, modules: Iterable[Path] = ()) -> Iterator[Path]:
        from infra.config.ground import models_folder
        from schema.migration.apply.fingerprint import migration_folders

        yield from (self._checkout / name for name in ("schema", "infra", "pyproject.toml", "tasks.py", ".env"))
        if not (models := models_folder()).is_relative_to(self._checkout / "schema"):
            yield models
        yield from migration_folders(self._checkout)
        yield from modules


def _modules_of_the_user() -> Iterator[Path]:
    """Yield the files of imported modules, but for Python's own and those of installed packages."""
    for module in [*sys.modules.values()]:
        if isinstance(file := getattr(module, "__file__", None), str) and not is_installed(
            path := Path(file).absolute()
        ):
            yield path


def _importable(folder: Path) -> Iterator[str]:
    """Yield the names of what could be imported from a folder, and so hide another module or be there all at once."""
    for found in sorted(folder.iterdir()):
        if found.suffix == ".py" or (found.is_dir() and found.name.isidentifier() and found.name != "__pycache__"):
            yield f"{found.name}{'/' if found.is_dir() else ''}"


def _changed(file: Path) -> int:
    """Return when a file was changed, in nanoseconds since 1970; some file systems count in whole seconds."""
    found = file.stat()
    latest = max(found.st_mtime_ns, found.st_ctime_ns)
    return latest if latest % _SECOND else latest + 2 * _SECOND
