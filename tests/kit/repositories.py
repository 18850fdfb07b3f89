"""Real git repositories: the ground's with its releases, and a product's that began from it."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from infra.commands.ground import pyproject
from infra.commands.ground.pyproject import Record
from infra.config.identity import Project, state_directory
from tests.kit import left_over
from tests.kit.checkout import copy_parts

_PARTS = ("tasks.py", "pyproject.toml", "constraints.txt", ".env.example", ".gitignore", "README.md", ".github")
_PACKAGES = ("infra", "schema", "migrations")
FIRST, SECOND = "90.0.0", "91.0.0"
Done = subprocess.CompletedProcess[str]
ALL_STEPS = ("generate", "lint", "check", "tests")
NO_STEPS = tuple(word for step in ALL_STEPS for word in ("--skip", step))


@dataclass(slots=True)
class Repository:
    """A folder with git in it, by a person of its own; what the user of this machine has configured does not count."""

    path: Path
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, **environ: str) -> Done:
        """Run a command in the folder to its end."""
        return subprocess.run(
            words, cwd=self.path, env=self._environment() | environ, capture_output=True, text=True, check=False
        )

    def git(self, *words: str) -> str:
        """Run git, which must succeed, and return what it printed."""
        done = self.run("git", *words)
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def start(self, *words: str, background: bool = False) -> "subprocess.Popen[str]":
        """Start `invoke …` in the folder; in the background as a shell does, which has SIGINT ignored there."""
        shell = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh") if background else ()
        return subprocess.Popen(
            [*shell, sys.executable, "-m", "invoke", *words],
            cwd=self.path,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def invoke(self, *words: str, **environ: str) -> Done:
        """Run `invoke …` in the folder to its end."""
        return self.run(sys.executable, "-m", "invoke", *words, **environ)

    def succeed(self, *words: str) -> Done:
        """Run `invoke …`, which must succeed."""
        done = self.invoke(*words)
        assert done.returncode == 0, f"invoke {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def write(self, path: str, text: str) -> None:
        """Write a file, with the folders above it."""
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).write_text(text, encoding="utf-8", newline="")

    def read(self, path: str) -> str:
        """Return the text of a file, its line ends as they are."""
        return (self.path / path).read_bytes().decode("utf-8", "surrogateescape")

    def replace(self, path: str, former: str, text: str) -> None:
        """Replace a text that stands in a file once."""
        content = self.read(path)
        assert content.count(former) == 1, f"{path} has {former!r} {content.count(former)} times"
        self.write(path, content.replace(former, text))

    def commit(self, message: str) -> str:
        """Commit all that is in the folder and return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.head

    def release(self, version: str) -> str:
        """Commit all as a version of the ground, with its tag, and return the commit."""
        project = self.read("pyproject.toml").split('\nversion = "')
        self.write("pyproject.toml", f'{project[0]}\nversion = "{version}"{project[1].partition(chr(34))[2]}')
        commit = self.commit(version)
        self.git("tag", "--annotate", "--message", version, f"v{version}")
        return commit

    @property
    def head(self) -> str:
        """The commit that the folder is at."""
        return self.git("rev-parse", "HEAD")

    def state(self) -> dict[str, str]:
        """Return all that a command could have changed: files, index, references, working trees, notes of git's."""
        files = (path for path in self.path.rglob("*") if ".git" not in path.parts and "__pycache__" not in path.parts)
        there = {str(path): f"{path.lstat().st_mode} {_content(path)}" for path in files}
        asked = ("status --porcelain", "for-each-ref", "symbolic-ref -q HEAD", "worktree list", "stash list")
        notes = ("FETCH_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD")
        own = Path(self.path, self.git("rev-parse", "--git-dir"))
        return (
            there
            | {words: self.run("git", *words.split()).stdout for words in asked}
            | {note: str((own / note).exists()) for note in notes}
            | {"HEAD": self.head, "left of an update": str(update_folder(self.path).exists())}
        )

    def _environment(self) -> dict[str, str]:
        person = {f"GIT_{role}_{part}": text for role in ("AUTHOR", "COMMITTER") for part, text in _PERSON.items()}
        nothing_configured = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        python = {"PYTHONDONTWRITEBYTECODE": "1"}
        return dict(os.environ) | person | nothing_configured | python | self.environ


_PERSON = {"NAME": "Ada", "EMAIL": "ada@example.com"}


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return path.read_bytes().hex() if path.is_file() else ""


def update_folder(checkout: Path) -> Path:
    """Return where an update of a checkout merges and tries what it brings."""
    project = Project.of(checkout)
    return state_directory(Project.of(checkout, "update")) / f"update-{project.id[-8:]}"


def take(product: Repository, *words: str) -> None:
    """Take the newest release, untried, and claim that nothing is left of the way there."""
    notes = product.git("for-each-ref")
    product.succeed("update", *words, *NO_STEPS, "--yes")
    others = [line for line in product.git("for-each-ref").split("\n") if "refs/heads/main" not in line]
    assert others == [line for line in notes.split("\n") if "refs/heads/main" not in line]
    assert product.git("status", "--porcelain", "--untracked-files=no") == ""
    assert len(product.git("worktree", "list").splitlines()) == 1
    assert not update_folder(product.path).parent.exists()
    assert not (product.path / ".git" / "FETCH_HEAD").exists()


def record(product: Repository) -> dict[str, Any]:
    """Return what a product has recorded of its base."""
    section: dict[str, Any] = tomllib.loads(product.read("pyproject.toml"))["tool"]["groundwork"]
    return section


@pytest.fixture(scope="session")
def first_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository of the ground with its first release, to be cloned."""
    folder = tmp_path_factory.mktemp("releases") / "ground"
    folder.mkdir()
    copy_parts(folder, *_PARTS, *_PACKAGES)
    _make_the_grounds(folder)
    repository = Repository(folder)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.release(FIRST)
    return folder


def _make_the_grounds(folder: Path) -> None:
    """Take a product's name and record out of a copy, where the tests run in the checkout of one."""
    document = tomlkit.parse((folder / pyproject.PATH).read_text(encoding="utf-8"))
    pyproject.rename(document, "groundwork")
    for key in (*Record._fields, "name", "models"):
        document["tool"]["groundwork"].pop(key, None)
    (folder / pyproject.PATH).write_text(tomlkit.dumps(document), encoding="utf-8")
    (folder / "README.md").write_text("# Groundwork\n", encoding="utf-8")


@pytest.fixture
def ground(first_release: Path, tmp_path: Path) -> Repository:
    """Give a repository of the ground of the test's own, at its first release."""
    repository = Repository(tmp_path / "ground")
    shutil.copytree(first_release, repository.path, symlinks=True)
    return repository


Clone = Callable[..., Repository]


@pytest.fixture
def clone(ground: Repository) -> Clone:
    """Clone the ground into a folder, with further options of `git clone`."""

    def make(name: str, *options: str) -> Repository:
        folder = ground.path.parent / name
        ground.git("clone", "--quiet", *options, f"file://{ground.path}", str(folder))
        for project in (Project.of(folder), Project.of(update_folder(folder))):
            left_over.note(project)
        return Repository(folder)

    return make


@pytest.fixture
def product(clone: Clone) -> Repository:
    """Give a product that began from the first release."""
    repository = clone("shop")
    repository.succeed("init", "shop")
    return repository
