"""What an answer was made of, and the state of all that as one digest: equal where nothing has changed."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from schema.migration.own_files import is_own

_MODULES = (".py", ".pyc", ".so", ".zip", ".egg", ".pth", ".dist-info", ".egg-info", ".egg-link")
_CACHE = "__pycache__"
_NEVER_THE_SAME = ("/proc/", "/sys/", "/dev/")
_STEADY = {"/dev/null", "/dev/random", "/dev/urandom"}
_SECOND = 1_000_000_000
_State = Callable[[str], Iterator[str | bytes]]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where to look: folders with all that is below them, folders by names, folders searched for modules, files.

    Paths are absolute. A path of `read` need not be there, and of a folder among them counts only that it is one.
    """

    trees: list[str]
    listed: list[str]
    searched: list[str]
    read: list[str]

    @property
    def steady(self) -> bool:
        """Whether it can be looked at twice: no device, and no window into the kernel."""
        every = (*self.listed, *self.read)
        return not any(path.startswith(_NEVER_THE_SAME) and path not in _STEADY for path in every)


@dataclass(slots=True)
class Look:
    """One look at inputs: what belongs to `checkout` counts by content, all else by size and times.

    `newest` is when the last of it was changed, in nanoseconds since 1970, but for bytecode, which is made of the rest.
    """

    checkout: str
    newest: int = 0
    _whole: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def digest(self, inputs: Inputs, *beside: object) -> str:
        """Return the digest of what is there, and of what is `beside` it.

        Raises:
            OSError: something is there and cannot be read.
        """
        self._add(json.dumps(beside))
        looks: tuple[tuple[list[str], _State], ...] = (
            (inputs.trees, self._tree),
            (inputs.listed, self._names),
            (inputs.searched, self._modules),
            (inputs.read, self._file),
        )
        for number, (paths, look) in enumerate(looks):
            for path in paths:
                self._add(f"{number}{path}")
                for part in look(path):
                    self._add(part)
        return self._whole.hexdigest()

    def _add(self, part: str | bytes) -> None:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        self._whole.update(b"%d:%b" % (len(data), data))

    def _tree(self, folder: str) -> Iterator[str | bytes]:
        for place, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if name != _CACHE)
            yield from self._names(place)
            for name in sorted(files):
                yield from self._file(os.path.join(place, name))

    def _names(self, folder: str) -> Iterator[str]:
        """Yield what a folder holds; caches of bytecode come and go."""
        try:
            found = os.stat(folder)
            names = sorted(name for name in os.listdir(folder) if name != _CACHE)
        except OSError as error:
            yield type(error).__name__
            return
        if os.path.basename(folder) != _CACHE:
            self._see(found)
            yield from names

    def _modules(self, folder: str) -> Iterator[str | bytes]:
        """Yield what tells which modules, packages and plug-ins a folder holds."""
        if is_own(folder, self.checkout) and os.path.isdir(folder):
            yield from (name for name in self._names(folder) if "." not in name or name.endswith(_MODULES))
        else:
            yield from self._file(folder, folder_by_times=True)

    def _file(self, path: str, *, folder_by_times: bool = False) -> Iterator[str | bytes]:
        try:
            found = os.stat(path)
        except OSError as error:
            yield type(error).__name__
            return
        if stat.S_ISDIR(found.st_mode) and not folder_by_times:
            yield "folder"
        elif stat.S_ISREG(found.st_mode) and is_own(path, self.checkout):
            with open(path, "rb", buffering=0) as stream:
                yield stream.readall()
                self._see(os.fstat(stream.fileno()), bytecode=path.endswith(".pyc"))
        else:
            self._see(found, bytecode=path.endswith(".pyc"))
            yield f"{found.st_mode} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"

    def _see(self, found: os.stat_result, *, bytecode: bool = False) -> None:
        """Keep the latest change; where a file system counts in whole seconds, it was up to two later."""
        latest = max(found.st_mtime_ns, found.st_ctime_ns)
        if not bytecode:
            self.newest = max(self.newest, latest if latest % _SECOND else latest + 2 * _SECOND)
