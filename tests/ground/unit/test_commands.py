"""The command line: what it costs to start, and how it refuses."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.config.settings import CHECKOUT
from tests.kit.checkout import copy_project

HEAVY = ("alembic", "docker", "dotenv", "psycopg", "redis", "requests", "rich", "sqlalchemy", "tenacity")


@pytest.mark.parametrize("words", [["--list"], ["up", "--help"], ["migrate", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(copy: Path, words: list[str]) -> None:
    """Neither the list of commands nor a command's help waits for a library that only a command's work needs."""
    (copy / "infra" / "product" / "tasks.py").unlink(missing_ok=True)  # what the product's need is the product's choice
    code = (
        "import sys\nfrom invoke.main import program\n"
        f"try: program.run(['invoke', *{words!r}])\nexcept SystemExit: pass\n"
        f"print('imported:', *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True, text=True).stdout
    assert found.splitlines()[-1] == "imported:"


@pytest.mark.parametrize(
    ("environ", "code", "word"),
    [
        ({"STACK_BACKEND": "podman"}, 2, "STACK_BACKEND"),
        ({"DATABASE_URL": "mysql://u:S3cret@h/d"}, 2, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:S3cret@h/d"}, 2, "DATABASE_URL"),
        ({"STACK_BACKEND": "docker", "DOCKER_HOST": "unix:///nowhere/none.sock"}, 3, "DOCKER_HOST"),
        ({"STACK_BACKEND": "docker", "DOCKER_HOST": "foo"}, 3, "DOCKER_HOST"),
        ({"STACK_BACKEND": "docker", "DOCKER_HOST": "ssh://host"}, 3, "DOCKER_HOST"),
        ({"DOCKER_HOST": "unix:///nowhere/none.sock"}, 3, "DOCKER_HOST"),
    ],
)
def test_a_users_error_is_one_paragraph(copy: Path, environ: dict[str, str], code: int, word: str) -> None:
    """What the user got wrong is one paragraph on stderr with the exit code of its kind, and no traceback or secret."""
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "up"],
        cwd=copy,
        env={"PATH": "/usr/bin:/bin", "HOME": str(copy), "XDG_STATE_HOME": str(copy / "state")} | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("wrote .env")]
    assert (done.returncode, len(said)) == (code, 1)
    assert word in said[0]
    assert "S3cret" not in done.stderr + done.stdout


def test_a_bad_line_in_env_is_named(copy: Path) -> None:
    """A line of `.env` that is no setting ends `up` with its place, and leaves no stack behind."""
    (copy / ".env").write_text("APP_ENV=development\nnonsense\n")
    done = subprocess.run([sys.executable, "-m", "invoke", "up"], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{copy / '.env'}:2" in done.stderr


def test_the_tests_refuse_somebodys_database(tmp_path: Path) -> None:
    """With DATABASE_URL set, pytest ends with exit code 2 and never connects to what the URL names."""
    folder = copy_project(tmp_path / "copy", "tests")
    with socket.socket() as somebodys:
        somebodys.bind(("127.0.0.1", 0))
        somebodys.listen()
        somebodys.setblocking(False)
        url = f"postgresql://app_user:S3cret@127.0.0.1:{somebodys.getsockname()[1]}/app"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "tests/ground/integration"],
            cwd=folder,
            env=os.environ | {"DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
        with pytest.raises(BlockingIOError):
            somebodys.accept()
    assert done.returncode == 2
    assert "S3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["logs", "--service", "mysql"], 1, "postgres, redis"),
        (["logs", "--lines", "x"], 1, "--lines x"),
        (["psql", "--role", "root"], 1, "owner, user, maintenance, admin"),
        (["psql"], 4, "invoke up"),
        (["redis-cli"], 4, "invoke up"),
        (["plan"], 2, "invoke up"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_command_that_cannot_work_says_why(copy: Path, words: list[str], code: int, said: str) -> None:
    """Wrong usage, and a stack that was never up, end with one line on stderr that says what is known or what to do."""
    done = subprocess.run(
        [sys.executable, "-m", "invoke", *words], cwd=copy, capture_output=True, text=True, check=False
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
    assert said in done.stderr
    assert not (copy / ".env").exists()


INTERRUPTED = """
import signal, threading, weakref
from infra.commands.cli import command

class Thing: pass

def forget(*_): signal.raise_signal({0})

@command()
def wait(_):
    thing = Thing()
    reference = weakref.ref(thing, forget)
    del thing
    threading.Event().wait(30)
    print("went on")

from invoke import Collection, Program
Program(namespace=Collection(wait)).run(["invoke", "wait"])
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupt_that_falls_into_a_callback_ends_the_command(name: str, code: int) -> None:
    """Python only reports what is raised there; the command ends all the same, without a traceback."""
    script = INTERRUPTED.format(f"signal.{name}")
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--format", "yaml"], "text, json, sarif, markdown"), (["--json", "--format", "sarif"], "contradict")],
    ids=["unknown", "two"],
)
def test_an_unknown_format_is_refused(words: list[str], said: str, copy: Path) -> None:
    """The formats are named; nothing is asked or made."""
    command = [sys.executable, "-m", "invoke", "check", *words]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert said in done.stderr
