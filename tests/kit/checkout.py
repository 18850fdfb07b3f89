"""Copies of the project in folders of their own, used as a person uses one: through the command line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from infra.config.endpoints import role_url
from infra.config.identity import Project, Service, project_at, state_directory
from infra.config.libpq import parameters
from infra.config.record import Record
from infra.config.settings import CHECKOUT, BackendChoice, Role, Settings, SslMode, read_env_file, setting_keys
from infra.config.urls import DatabaseUrl
from tests.kit import left_over
from tests.kit.passwords import nasty_env_file

_PARTS = ("tasks.py", "pyproject.toml", ".env.example", "infra", "schema", "migrations")
Done = subprocess.CompletedProcess[str]


@dataclass(slots=True)
class Checkout:
    """A checkout with its own stack; `said` collects everything that its commands printed.

    Its `umask` is the strictest that a user may have: it takes a laxer one to see what hides itself.
    """

    path: Path
    backend: BackendChoice
    environ: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    umask: int = 0o077

    @property
    def project(self) -> Project:
        """The project of the checkout's stack."""
        return Project.of(self.path)

    def start(self, *words: str, **environ: str) -> "subprocess.Popen[str]":
        """Start `invoke …` in the checkout."""
        return self._start(words, environ, subprocess.DEVNULL)

    def invoke(self, *words: str, **environ: str) -> Done:
        """Run `invoke …` in the checkout to its end."""
        return self._ended(self.start(*words, **environ), words)

    def pipe(self, text: str, *words: str, **environ: str) -> Done:
        """Run `invoke …` in the checkout with `text` on its standard input."""
        return self._ended(self._start(words, environ, subprocess.PIPE), words, text)

    def _start(self, words: tuple[str, ...], environ: dict[str, str], stdin: int) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "invoke", *words],
            cwd=self.path,
            env=self._environment() | environ,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            umask=self.umask,
        )

    def _ended(self, process: "subprocess.Popen[str]", words: tuple[str, ...], text: str | None = None) -> Done:
        out, err = process.communicate(text, timeout=120)
        self.said += [out, err]
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def shell(self, script: str, **environ: str) -> Done:
        """Run a script in the checkout as it is written in a shell whose environment is activated, to its end.

        Nobody types anything, and the editor leaves every file as it is.
        """
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        words = ("bash", "-euo", "pipefail", "-c", script)
        done = subprocess.run(
            words,
            cwd=self.path,
            env=self._environment() | {"PATH": path, "EDITOR": "true"} | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            umask=self.umask,
        )
        self.said += [done.stdout, done.stderr]
        return done

    def succeed(self, *words: str, **environ: str) -> Done:
        """Run `invoke …`, which must succeed."""
        done = self.invoke(*words, **environ)
        assert done.returncode == 0, f"invoke {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def status(self) -> dict[str, Any]:
        """Return what `status --json` says."""
        described: dict[str, Any] = json.loads(self.succeed("status", "--json").stdout)
        return described

    @property
    def ports(self) -> dict[Service, int]:
        """The ports that the servers answer on, as `up` wrote them down: asking `status` costs half a second."""
        record = Record.load(project_at(self.path))
        return record.ports if record else {}

    @property
    def settings(self) -> Settings:
        """The checkout's settings."""
        return Settings.load(self.path / ".env", self.environ)

    def url(self, role: Role) -> DatabaseUrl:
        """Return the URL of a role on the checkout's stack."""
        return role_url(self.settings, self.ports, role)

    def query(self, role: Role, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as a role and return its rows."""
        # In full: the shell's variables may mean another server.
        with psycopg.connect(**parameters(self.url(role), SslMode.PREFER, 10), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def redis(self) -> "redis.Redis":
        """Return a client of the checkout's Redis."""
        password = self.settings.redis_password.reveal()
        return redis.Redis("127.0.0.1", self.ports[Service.REDIS], password=password, decode_responses=True)

    def secrets(self) -> list[str]:
        """Return every password in the checkout's `.env`."""
        return [text for key, (_, text) in read_env_file(self.path / ".env").items() if key.endswith("_PASSWORD")]

    def _environment(self) -> dict[str, str]:
        settings = set(setting_keys())
        # Nothing of this run either: pytest has a variable that is another in every test.
        kept = {key: value for key, value in os.environ.items() if key not in settings and key[:7] != "PYTEST_"}
        # Python takes bytecode for that of a file of the same size and second, and tests edit files fast.
        python = {"PYTHONWARNINGS": "error::DeprecationWarning", "PYTHONDONTWRITEBYTECODE": "1"}
        return kept | {"STACK_BACKEND": self.backend} | python | self.environ


def copy_project(folder: Path, *more: str) -> Path:
    """Copy what makes the project, and `more` of it, into a new folder; no `.env`, no state."""
    folder.mkdir(parents=True)
    left_over.note(Project.of(folder))
    copy_parts(folder, *_PARTS, *more)
    return folder


def copy_parts(folder: Path, *parts: str) -> None:
    """Copy files and folders of the project into another."""
    for part in parts:
        if (CHECKOUT / part).is_dir():
            # With its bytecode, from which commands start in half the time; but not what Python is writing right now.
            shutil.copytree(CHECKOUT / part, folder / part, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            shutil.copy(CHECKOUT / part, folder / part)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Give a copy of the project that no stack is brought up in."""
    return copy_project(tmp_path / "copy")


MakeCheckout = Callable[..., Checkout]


@pytest.fixture
def make_checkout(backend: BackendChoice, tmp_path: Path) -> Iterator[MakeCheckout]:
    """Make checkouts on the backend in turn; their stacks go with them, data and all."""
    made: list[Checkout] = []

    def make(folder: str = "shop", **environ: str) -> Checkout:
        made.append(Checkout(copy_project(tmp_path / folder), backend, environ))
        return made[-1]

    yield make
    for checkout in made:
        if state_directory(checkout.project).exists():  # it is from the first `up` to the last `down --volumes`
            checkout.invoke("down", "--volumes", "--yes")


@pytest.fixture
def checkout(make_checkout: MakeCheckout) -> Checkout:
    """Give one checkout, its ports wherever there is room, its stack not yet up."""
    return make_checkout()


Serve = Callable[[BackendChoice], Checkout]


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Bring up one migrated stack for each backend, with passwords that are hard to keep.

    Tests leave it as it is, but for tenants of their own.
    """
    made: dict[BackendChoice, Checkout] = {}

    def give(choice: BackendChoice) -> Checkout:
        if choice not in made:
            made[choice] = Checkout(copy_project(tmp_path_factory.mktemp("served") / "shop"), choice)
            (made[choice].path / ".env").write_bytes(nasty_env_file())
            made[choice].succeed("up", "migrate")
        return made[choice]

    yield give
    for checkout in made.values():
        checkout.invoke("down", "--volumes", "--yes")


# What a test may have changed for all that come after it: who may log in, who may do what, and what there is at all.
_SHARED = """
SELECT rolname, to_jsonb(r) - 'oid' - 'rolpassword' FROM pg_roles r
UNION ALL SELECT 'database ' || datname, to_jsonb(d) - 'oid' - 'datfrozenxid' - 'datminmxid' FROM pg_database d
UNION ALL SELECT 'member ' || roleid::regrole || ' of ' || member::regrole, '{}' FROM pg_auth_members
UNION ALL SELECT 'schema ' || nspname, to_jsonb(nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
UNION ALL SELECT 'relation ' || c.oid::regclass, to_jsonb(relacl) FROM pg_class c
WHERE relkind IN ('r', 'v', 'S') AND relnamespace::regnamespace::text !~ '^pg_'
"""


@pytest.fixture
def served(backend: BackendChoice, serve: Serve) -> Iterator[Checkout]:
    """Give a checkout whose stack is up, and claim that the test leaves it as it was for the tests after it."""
    checkout = serve(backend)
    before = set(map(str, checkout.query(Role.USER, _SHARED)))
    yield checkout
    assert set(map(str, checkout.query(Role.USER, _SHARED))) == before, "the test changed the stack that others share"
