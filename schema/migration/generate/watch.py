"""What a stretch of this process reads: files, folders, variables of the environment.

Python itself tells of files that are opened and of folders that are listed (PEP 578, audit events). Who asks whether
a file is there, or for a variable, it does not tell: those questions are noted where they are put, in module `os`,
while a watch lasts.
"""

import os
import sys
from typing import Any, Self

# What goes on in another process, on another machine or in C cannot be followed.
_OUT_OF_SIGHT = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "pty.spawn", "ctypes.",
    "sqlite3.", "os.getxattr", "os.listxattr",
)  # fmt: skip
# The machine's own name, which asks nobody; and this very process, which ctypes opens when it is imported.
_IN_SIGHT = {("socket.gethostname",), ("ctypes.dlopen", None)}
_QUESTIONS = ("stat", "lstat", "access", "readlink")
_IMPORTER = "<frozen importlib"
_METADATA = f"{os.sep}importlib{os.sep}metadata{os.sep}"
_Environ: Any = type(os.environ)


class Watch:
    """Notes what is read within `with watch:`, which may be entered several times, one block after or in another.

    `read` are paths of files that were opened or asked for, whether or not they are there; `listed` are folders whose
    names were read, and `searched` those in which only modules were looked for. `variables` are the names that the
    environment was asked for, and `whole` says that all of it was read. `out_of_sight` names what was done that cannot
    be followed. One watch lasts at a time.
    """

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.listed: set[str] = set()
        self.searched: set[str] = set()
        self.variables: set[str] = set()
        self.whole = False
        self.out_of_sight = ""
        self._depth = 0

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth == 1:
            _begin(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            _end()

    def note(self, paths: set[str], path: Any) -> None:
        """Note a path. An open file has been noted by its name; what an open folder holds cannot be known."""
        if not isinstance(path, int):
            paths.add(os.path.abspath(os.fsdecode(path)))
        elif paths is not self.read:
            self.out_of_sight = "a listed descriptor"

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what an audit event tells of."""
        if event == "open":
            path, _, flags = arguments
            if flags & os.O_ACCMODE != os.O_WRONLY:
                self.note(self.read, path)
        elif event in {"os.listdir", "os.scandir"}:
            caller = sys._getframe(2).f_code.co_filename  # noqa: SLF001 - the documented way to the caller
            importing = caller.startswith(_IMPORTER) or _METADATA in caller
            self.note(self.searched if importing else self.listed, "." if arguments[0] is None else arguments[0])
        elif event.startswith(_OUT_OF_SIGHT) and (event, *arguments) not in _IN_SIGHT:
            self.out_of_sight = event


class _Environment(_Environ):  # type: ignore[misc]  # the class of os.environ has no public name
    """The environment, while somebody wants to know what of it is read."""

    def __getitem__(self, name: Any) -> Any:
        if _lasting is not None:
            _lasting.variables.add(os.fsdecode(name))
        return super().__getitem__(name)

    def __iter__(self) -> Any:
        if _lasting is not None:
            _lasting.whole = True
        return super().__iter__()


_lasting: Watch | None = None
_hooked = False
_originals = {name: getattr(os, name) for name in _QUESTIONS}


def _begin(watch: Watch) -> None:
    global _lasting, _hooked  # noqa: PLW0603 - a process has one hook, one module os, one environment
    _lasting = watch
    for name, original in _originals.items():
        setattr(os, name, _noted(original))
    os.environ.__class__ = os.environb.__class__ = _Environment
    if not _hooked:  # and it stays for as long as Python runs
        sys.addaudithook(_hear)
        _hooked = True


def _end() -> None:
    global _lasting  # noqa: PLW0603 - a process has one hook
    _lasting = None
    for name, original in _originals.items():
        setattr(os, name, original)
    os.environ.__class__ = os.environb.__class__ = _Environ


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _lasting is not None:
        try:
            _lasting.hear(event, arguments)
        except (TypeError, ValueError):  # an impossible path, say: whoever is asked for it will refuse it
            _lasting.out_of_sight = event


def _noted(original: Any) -> Any:
    def ask(path: Any, *rest: Any, **named: Any) -> Any:
        if _lasting is not None:
            if named.get("dir_fd") is not None:
                _lasting.out_of_sight = "a file of an open folder"
            _lasting.note(_lasting.read, path)
        return original(path, *rest, **named)

    return ask
