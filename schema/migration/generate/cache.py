"""Answer "nothing changed" without SQLAlchemy, Alembic or a database: by what the last such answer was made of.

`generate` compares what the migrations make with what the models declare. Both are made on one server, at one moment,
so it does not matter on which, and the answer follows from the code that ran and from what that code read. A full
comparison that found nothing leaves a note of all that. Where every part of it is as it was, another one would run the
same code on the same input. The note names, and its one digest covers:

- all files below `schema`, `infra` and the migrations, so that a model counts which nobody imports yet;
- every module that was imported, with the bytecode that Python may have taken for it, and every folder in which Python
  looked for one: a package that is installed or removed, a plug-in, a `.pth` file, a file that would be found sooner;
- every file that was opened or asked for while settings, models and migrations were read and compared, as .env and
  pyproject.toml are, whether or not it was there, and every folder that was listed then, but for caches of bytecode
  (`schema.migration.generate.watch`);
- the variables of the environment that were read then, and those that C libraries read unseen; the command line but for
  the migration's title; the interpreter, its options and its paths; the working folder, the user, the machine's name
  and kernel; and the checkout, so that a copy or a moved one is another.

What is the checkout's own counts by content. What is installed counts by size and time of change, as Python's import
system takes it for its bytecode, and by the time of the inode's change, which no copying or renaming sets back.

Anything else is left to the comparison. What cannot be followed leaves no note: another process, a socket, foreign
code (ctypes), a device, a module of the checkout that was imported before anybody watched. Nor does a run some of whose
input changed after its process began: nobody knows which of the two it read. A note that is damaged or not this user's
alone counts for nothing. What remains are models that ask the clock, chance or the terminal, C extensions that read
files of their own, and files outside of the migrations' folder that a migration reads when it is run: the template of
the shadow database (`schema.migration.shadow_template`) takes no account of those either.

Variables and .env hold secrets. They are in the digest with all else and a salt, never in one by themselves, and only
the owner may read the file.
"""

import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from schema.migration.generate.inputs import Inputs, Look
from schema.migration.generate.watch import Watch
from schema.migration.own_files import is_own

# These read nothing when they are imported, and are there before a watch can be.
_EARLY = (
    "tasks.py",
    "infra/",
    "schema/__init__.py",
    "schema/errors.py",
    "schema/lazy.py",
    "schema/migration/__init__.py",
    "schema/migration/generate/",
    "schema/migration/own_files.py",
)
_READ_IN_C = ("PYTHON", "LANG", "LC_", "TZ", "LD_", "DYLD_", "GLIBC_", "SSL_", "OPENSSL_")
# A process's beginning is known to 10 ms, and a file's times lag behind the clock by a tick of the kernel's.
_MARGIN = 30_000_000
_MINUTE = 60


class ComparisonCache:
    """Whether the last comparison's answer still stands. Made before the models are imported.

    `note` is the file that keeps what that answer was made of. `title` is the migration's, which changes nothing.
    """

    def __init__(self, checkout: Path, note: Path, title: str = "") -> None:
        self.watch = Watch()
        self._checkout = str(checkout)
        self._note = note
        self._environment = dict(os.environ)
        self._process = [
            *(self._checkout, os.getcwd(), os.geteuid(), os.getegid(), *os.uname()),
            *(sys.version, sys.executable, str(sys.flags), sorted(sys._xoptions.items())),  # noqa: SLF001 - the documented name of -X options
            *([*sys.warnoptions], [*sys.path], [word for word in sys.argv if not title or word != title]),
        ]
        self._followed = "sqlalchemy" not in sys.modules and all(map(self._is_early, _files()))

    def is_fresh(self) -> bool:
        """Return whether nothing has changed since a comparison that found nothing."""
        try:
            note = _load(self._note)
            inputs = Inputs(**note["inputs"])
            digest = self._digest(Look(self._checkout), inputs, note["variables"], note["salt"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return False
        return bool(digest == note["digest"])

    def store(self) -> None:
        """Note what the comparison that has just found nothing was made of, where all of that is known."""
        inputs, variables = self._inputs(), None if self.watch.whole else sorted(self.watch.variables)
        if not self._followed or self.watch.out_of_sight or not inputs.steady:
            return
        salt, look = os.urandom(16).hex(), Look(self._checkout)
        with suppress(OSError):  # without a note the next answer takes longer
            digest = self._digest(look, inputs, variables, salt)
            if look.newest < _began() - _MARGIN:
                _save(self._note, {"salt": salt, "digest": digest, "variables": variables, "inputs": asdict(inputs)})

    def _digest(self, look: Look, inputs: Inputs, variables: list[str] | None, salt: str) -> str:
        asked = self._environment if variables is None else variables
        environment = {
            name: self._environment.get(name)
            for name in sorted({*asked, *(name for name in self._environment if name.startswith(_READ_IN_C))})
        }
        return look.digest(inputs, salt, variables, self._process, environment)

    def _inputs(self) -> Inputs:
        from schema.migration.apply.fingerprint import migration_folders  # for those who remember

        checkout = Path(self._checkout)
        folders = (checkout / "schema", checkout / "infra", *migration_folders(checkout))
        trees = sorted(map(os.path.abspath, folders))
        packages = (path for module in _modules() for path in getattr(module, "__path__", ()))
        read = {*self.watch.read, *_files(), *_bytecode(), *_pth_files(), sys.executable}
        below = tuple(f"{tree}{os.sep}" for tree in trees)
        return Inputs(
            trees,
            sorted(self.watch.listed),
            sorted({*self.watch.searched, *map(os.path.abspath, (*sys.path, *packages))}),
            sorted(path for path in read if path.endswith(".pyc") or not path.startswith(below)),
        )

    def _is_early(self, file: str) -> bool:
        return not is_own(file, self._checkout) or os.path.relpath(file, self._checkout).startswith(_EARLY)


def _modules() -> list[Any]:
    return list(sys.modules.values())


def _files() -> list[str]:
    """Return the files that modules came from."""
    files = (getattr(module, "__file__", None) for module in _modules())
    return [os.path.abspath(file) for file in files if isinstance(file, str)]


def _bytecode() -> Iterator[str]:
    """Yield where Python keeps what it has made of the modules' files."""
    for module in _modules():
        if isinstance(path := getattr(getattr(module, "__spec__", None), "cached", None), str):
            yield os.path.abspath(path)


def _pth_files() -> Iterator[str]:
    for folder in map(os.path.abspath, sys.path):
        with suppress(OSError):
            yield from (os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".pth"))


def _began() -> int:
    """Return when this process began, in nanoseconds since 1970; a minute sooner where the system does not tell."""
    now = time.time_ns()
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        age = time.process_time() + _MINUTE
    return now - int(age * 1_000_000_000)


def _load(note: Path) -> dict[str, Any]:
    """Read the note.

    Raises:
        OSError: it is not there, or not this user's alone.
        ValueError: it is no JSON.
    """
    with open(os.open(note, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
        found = os.fstat(stream.fileno())
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != 0o600:
            raise PermissionError(f"{note} is not its user's alone")
        loaded: dict[str, Any] = json.loads(stream.read())
    return loaded


def _save(note: Path, content: dict[str, Any]) -> None:
    """Write the note whole or not at all."""
    note.parent.mkdir(parents=True, exist_ok=True)
    draft = note.with_name(f"{note.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as stream:
            json.dump(content, stream)
        draft.replace(note)
    finally:
        draft.unlink(missing_ok=True)
