"""What a run leaves a note of, and what it cannot know; each in a process of its own, since a watch changes one."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

_CODE = """
import sys
from pathlib import Path
from schema.migration.generate.cache import ComparisonCache
{before}
proof = ComparisonCache(Path.cwd(), Path("note.json"))
with proof.watch:
    exec(sys.argv[1])
proof.store()
for _ in sys.stdin:
    print(proof.is_fresh(), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A process that read what it was told to, and is asked whether all of it is as it was."""

    answers: IO[str]
    questions: IO[str]

    @property
    def holds(self) -> bool:
        """Ask."""
        self.questions.write("\n")
        self.questions.flush()
        return self.answers.readline() == "True\n"


@dataclass(frozen=True, slots=True)
class Place:
    """A checkout of nothing, and a folder of what is installed."""

    checkout: Path
    installed: Path

    @property
    def shared(self) -> Path:
        """A file beside both."""
        return self.checkout.parent / "shared.txt"

    @contextmanager
    def run(self, read: str, before: str = "", **environ: str) -> Iterator[Run]:
        """Run code under a watch; `before` it, other code."""
        with subprocess.Popen(
            [sys.executable, "-B", "-c", _CODE.format(before=before), read],
            cwd=self.checkout,
            env=os.environ | {"PYTHONPATH": str(self.installed)} | environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            yield Run(process.stdout, process.stdin)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give both, with a module in each."""
    checkout, installed = tmp_path / "checkout", tmp_path / "installed"
    (checkout / "migrations").mkdir(parents=True)
    (checkout / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "%(here)s/migrations"\n')
    (checkout / "own.py").write_text("")
    installed.mkdir()
    (installed / "theirs.py").write_text("one = 1")
    (tmp_path / "shared.txt").write_text("1")
    (installed / "old.pth").write_text("# one")
    written = time.time_ns()
    while time.time_ns() < written + 100_000_000:  # what is as new as the process is not trusted
        pass
    return Place(checkout, installed)


def test_what_is_all_known_holds(place: Place) -> None:
    """A run that read files and folders leaves a note, which holds while they are as they were."""
    with place.run("import own, theirs, os; os.listdir('migrations'); open('../written.txt', 'w').close()") as run:
        assert run.holds
        (place.checkout.parent / "written.txt").write_text("nobody has read it")
        assert run.holds


@pytest.mark.parametrize(
    "read",
    [
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.fork() or os._exit(0)",
        "import socket; socket.socket()",
        "import ctypes; ctypes.CDLL(None).getpid()",
        "import sqlite3; sqlite3.connect(':memory:')",
        "open('/proc/self/stat').read()",
        "open('/dev/zero', 'rb').read(1)",
        "import os; os.listdir(os.open('.', os.O_RDONLY))",
        "import os; os.stat('own.py', dir_fd=os.open('.', os.O_RDONLY))",
        "from pathlib import Path; Path('new.txt').write_text('1'); Path('new.txt').read_text()",
        "from pathlib import Path; Path('migrations/new.py').touch()",
        "from pathlib import Path; Path('own.py').write_text('1'); import own",
    ],
)
def test_what_cannot_be_followed_leaves_no_note(place: Place, read: str) -> None:
    """Other processes, other machines, foreign code and what changed meanwhile make a run that cannot be repeated."""
    with place.run(read) as run:
        assert not run.holds
    assert not (place.checkout / "note.json").exists()


@pytest.mark.parametrize("before", ["import own", "import sqlalchemy"])
def test_what_was_imported_before_leaves_no_note(place: Place, before: str) -> None:
    """A module of the checkout may have read anything before it was watched, and so may a model."""
    with place.run("import own", before=before) as run:
        assert not run.holds


def _write(name: str) -> Callable[[Place], object]:
    return lambda place: (place.installed / name).write_text("")


def _replace(place: Place) -> None:
    """Put another file of the same size and time in the place of one."""
    file = place.shared
    other, was = file.with_suffix(".new"), file.stat()
    other.write_text("2")
    os.utime(other, ns=(was.st_atime_ns, was.st_mtime_ns))
    other.replace(file)


CHANGES: dict[str, Callable[[Place], object]] = {
    "a module": _write("another.py"),
    "another text of a module": lambda place: (place.installed / "theirs.py").write_text("one = 2"),
    "no module": lambda place: (place.installed / "theirs.py").unlink(),
    "a plug-in": lambda place: (place.installed / "new.dist-info").mkdir(),
    "a .pth file": _write("new.pth"),
    "another .pth file": _write("old.pth"),
    "a file": lambda place: place.shared.write_text(""),
    "another file of the same size and time": _replace,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_installed_is_part_of_the_input(place: Place, change: Callable[[Place], object]) -> None:
    """Outside of the checkout files and folders count by size and times, also what was imported before the watch."""
    with place.run("open('../shared.txt').read()", before="import theirs") as run:
        assert run.holds
        change(place)
        assert not run.holds


@pytest.mark.parametrize(("read", "holds"), [("os.environ.get('ONE')", True), ("dict(os.environ)", False)])
def test_who_reads_the_whole_environment_hears_every_variable(place: Place, read: str, holds: bool) -> None:
    """A variable that was not there before is another input to who copied the environment, and to nobody else."""
    with place.run(f"import os; {read}") as run:
        assert run.holds
    with place.run(f"import os; {read}", before="ComparisonCache.store = lambda _: None", TWO="2") as run:
        assert run.holds == holds
