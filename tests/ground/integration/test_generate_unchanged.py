"""When `generate` may say that nothing changed without comparing: the command, asked again after every kind of edit."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.config.record import comparison_note
from infra.config.settings import BackendChoice, Role
from tests.kit.checkout import Checkout, copy_project
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

NOTHING = "nothing changed: the migrations make what the models declare\n"
HEAVY = ("alembic", "psycopg", "schema.migration.generate.command", "schema.models", "sqlalchemy")
_RUN = "from invoke.main import program; program.run(['invoke', 'generate', '--check'])"
# Nothing can be compared, nor a server be asked, where these cannot be imported.
_ASK = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r})); {_RUN}"
# The command as far as its question, which it answers for every line that it reads.
_ASK_AGAIN = f"""
import sys
from schema.migration.generate.cache import ComparisonCache
def ask(proof, holds=ComparisonCache.is_fresh):
    for _ in sys.stdin:
        print(holds(proof), flush=True)
    return True
ComparisonCache.is_fresh = ask
{_RUN}
"""
_HELPER = """\
from pathlib import Path

title = (Path(__file__).parent / "title.txt").read_text()
"""
_MODEL = """
from sqlalchemy.orm import Mapped, mapped_column
from schema import Base, TenantMixin
class Late(TenantMixin, Base):
    __tablename__ = "late"
    id: Mapped[int] = mapped_column(primary_key=True)
"""


@dataclass(frozen=True, slots=True)
class Noted:
    """A checkout in which a comparison found nothing; its models read what is beside them."""

    checkout: Checkout

    def run(
        self, code: str, *arguments: str, options: str = "-B", **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command in a process of its own."""
        return subprocess.run(
            [sys.executable, options, "-c", code, *arguments],
            cwd=self.checkout.path,
            env=self.checkout._environment() | environ,
            capture_output=True,
            text=True,
            check=False,
        )

    def holds(self, *arguments: str, **told: str) -> bool:
        """Return whether the command answers without comparing; else it misses what it would compare with."""
        done = self.run(_ASK, *arguments, **told)
        assert done.stdout == NOTHING or "schema.migration.generate.command" in done.stderr, done.stderr
        return done.stdout == NOTHING

    @property
    def note(self) -> Path:
        """The file that the answer comes from."""
        return comparison_note(self.checkout.project)

    def path(self, name: str) -> Path:
        """Return a path in the checkout."""
        return self.checkout.path / name


@pytest.fixture(scope="module")
def made() -> Iterator[dict[BackendChoice, Noted]]:
    """Keep what was made, for all tests here."""
    every: dict[BackendChoice, Noted] = {}
    yield every
    for noted in every.values():
        noted.note.unlink()
        noted.note.parent.rmdir()


@pytest.fixture
def noted(
    made: dict[BackendChoice, Noted],
    backend: BackendChoice,
    stack: RunningStack,
    tmp_path_factory: pytest.TempPathFactory,
) -> Noted:
    """Give a checkout whose last comparison found nothing; tests put back what they change."""
    if backend not in made:
        path = copy_project(tmp_path_factory.mktemp("noted") / "shop")
        (path / "shop_helper.py").write_text(_HELPER)
        (path / "title.txt").write_text("Shop")
        (path / "shop.egg-info").mkdir()  # as an installation leaves it
        elsewhere = (path / "schema" / "models").rename(path.parent / "models")
        (path / "schema" / "models").symlink_to(elsewhere)
        models = path / "schema" / "models" / "__init__.py"
        models.write_text(f"{models.read_text()}\nimport shop_helper\n")
        noted = Noted(Checkout(path, backend, {"DATABASE_OWNER_URL": stack.url(Role.OWNER).libpq()}))
        assert not noted.holds()  # and what was just written is older than the next process
        done = noted.run(_RUN)
        assert done.stdout == NOTHING, done.stderr
        made[backend] = noted
    return made[backend]


Holds = Callable[[], bool]


@pytest.fixture(scope="module")
def asked() -> Iterator[dict[BackendChoice, "subprocess.Popen[str]"]]:
    """Keep the processes that are asked."""
    every: dict[BackendChoice, subprocess.Popen[str]] = {}
    yield every
    for process in every.values():
        process.communicate()


@pytest.fixture
def holds(asked: dict[BackendChoice, "subprocess.Popen[str]"], noted: Noted) -> Holds:
    """Ask the command once more, in a process that has come as far as that."""
    backend = noted.checkout.backend
    if backend not in asked:
        asked[backend] = subprocess.Popen(
            [sys.executable, "-B", "-c", _ASK_AGAIN],
            cwd=noted.checkout.path,
            env=noted.checkout._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask() -> bool:
        process = asked[backend]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        return process.stdout.readline() == "True\n"

    return ask


def test_what_did_not_change_is_not_compared(noted: Noted) -> None:
    """A second run imports neither SQLAlchemy, Alembic, the models nor a driver, and gives the same answer."""
    last = f"import sys, atexit; atexit.register(lambda: print([n for n in {HEAVY!r} if n in sys.modules])); {_RUN}"
    seen = noted.run(last)
    assert (seen.stdout, seen.stderr) == (f"{NOTHING}[]\n", "")


def test_its_user_alone_may_read_the_note(noted: Noted) -> None:
    """The note is closed to others, and the value of a variable is not in it."""
    assert noted.note.stat().st_mode & 0o777 == 0o600
    assert noted.checkout.environ["DATABASE_OWNER_URL"] not in noted.note.read_text()


Change = Callable[[Noted], AbstractContextManager[None]]
_MIGRATION = "migrations/versions/0001_create_tenants_users_and_tenant_features.py"


@contextmanager
def _changed(path: Path, content: bytes | None) -> Iterator[None]:
    """Give a file another content for a block, make it, or remove it."""
    before = path.read_bytes() if path.exists() else None
    _put(path, content)
    try:
        yield
    finally:
        _put(path, before)


def _put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def _edit(name: str) -> Change:
    return lambda noted: _changed(noted.path(name), noted.path(name).read_bytes() + b"\n# another\n")


def _make(name: str, text: str = "") -> Change:
    return lambda noted: _changed(noted.path(name), text.encode())


def _note(edit: Callable[[str], str]) -> Change:
    return lambda noted: _changed(noted.note, edit(noted.note.read_text()).encode())


@contextmanager
def _hidden(noted: Noted) -> Iterator[None]:
    (package := noted.path("shop_helper")).mkdir()
    (package / "__init__.py").write_text(_HELPER)
    try:
        yield
    finally:
        shutil.rmtree(package)


CHANGES: dict[str, Change] = {
    "a model": _edit("schema/models/users.py"),
    "a new model": _make("schema/models/late.py", _MODEL),
    "a module that the models import": _edit("shop_helper.py"),
    "a package that hides it": _hidden,
    "that module gone": lambda noted: _changed(noted.path("shop_helper.py"), None),
    "the settings' file": _make(".env", "LOG_LEVEL=DEBUG\n"),
    "a migration": _edit(_MIGRATION),
    "a new migration": _make("migrations/versions/0002_next.py"),
    "no migration": lambda noted: _changed(noted.path(_MIGRATION), None),
    "a file of the migrations": _make("migrations/data.csv"),
    "the migrations' environment": _edit("migrations/env.py"),
    "the code that compares": _edit("schema/migration/diff/compare.py"),
    "pyproject.toml": _edit("pyproject.toml"),
    "tasks.py": _edit("tasks.py"),
    "a damaged note": _note(lambda text: text[:-40]),
    "a note of nothing": _note(lambda _: "{}"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changed_is_compared(noted: Noted, holds: Holds, change: Change) -> None:
    """An answer from memory is given for the very files that it was found for, and once they are back again."""
    assert holds()
    with change(noted):
        assert not holds()
    assert holds()


@pytest.mark.parametrize(
    "told",
    [{"SHOP_TITLE": "!"}, {"DATABASE_SSLMODE": "disable"}, {"options": "-BO"}],
    ids=["a variable", "a setting", "Python's options"],
)
def test_a_process_that_is_told_other_things_compares(noted: Noted, told: dict[str, str]) -> None:
    """What the environment and Python's options say is part of the input."""
    assert not noted.holds(**told)


@pytest.mark.parametrize("said", ["'--allow-drop'", "'--rename', 'users:people'"])
def test_who_says_more_than_a_title_compares(noted: Noted, said: str) -> None:
    """What is said of drops and renames is held against the models, though nothing has changed."""
    assert "schema.migration.generate.command" in noted.run(_ASK.replace("'--check'", f"'--check', {said}")).stderr


def test_a_title_that_is_none_is_refused_all_the_same(noted: Noted) -> None:
    """An answer from memory is for requests that could be granted."""
    done = noted.run(_ASK.replace("'--check'", "'-m', ' '"))
    assert (done.returncode, done.stdout) == (5, "")


def test_what_decides_nothing_is_no_reason_to_compare(noted: Noted) -> None:
    """What each terminal has its own of, a file beside the code, one written as it was, and bytecode."""
    noted.path("shop_helper.py").write_text(_HELPER)
    cache = noted.path("schema/__pycache__")
    cache.mkdir(exist_ok=True)
    with _changed(noted.path("notes.txt"), b"..."), _changed(cache / "nobody.cpython-311.pyc", b"..."):
        assert noted.holds(TERM="dumb", COLUMNS="40")


@pytest.mark.parametrize("kind", ["dist-info", "pth"])
def test_what_is_installed_is_part_of_the_input(noted: Noted, tmp_path: Path, kind: str) -> None:
    """A package more, or another version of one, is compared with."""
    assert noted.holds(PYTHONPATH=str(tmp_path)) is noted.holds(PYTHONPATH="")
    (tmp_path / f"shop-2.0.{kind}").touch()
    assert not noted.holds(PYTHONPATH=str(tmp_path))


def test_what_changes_while_it_is_compared_leaves_no_note(noted: Noted) -> None:
    """Nobody knows which of its two contents was compared; the next run compares again."""
    model = noted.path("schema/models/users.py")
    touched = "import atexit, pathlib; from schema.migration.generate import writer; made = writer.Generation.run\n"
    touched += f"def run(self): pathlib.Path({str(model)!r}).touch(); return made(self)\nwriter.Generation.run = run\n"
    before = noted.note.read_bytes()
    noted.note.unlink()
    try:
        assert noted.run(touched + _RUN).stdout == NOTHING
        assert not noted.note.exists()
    finally:
        noted.note.write_bytes(before)
        noted.note.chmod(0o600)


def test_a_difference_is_found_after_an_answer_from_memory(noted: Noted, holds: Holds) -> None:
    """A column that is added to a model becomes a migration."""
    users = noted.path("schema/models/users.py").read_bytes()
    column = b"from sqlalchemy.orm import Mapped\n\n" + users + b"    nickname: Mapped[str | None]\n"
    written = noted.path("migrations/versions/0002_add_nickname.py")
    assert holds()
    with _changed(noted.path("schema/models/users.py"), column):
        done = noted.run(_RUN.replace("'--check'", "'-m', 'add nickname'"))
    assert done.stdout == f"{written.relative_to(noted.checkout.path)}\n", done.stderr
    assert "nickname" in written.read_text()
    written.unlink()
