"""What proves an update before it is taken: the steps, each a few commands in the throwaway working tree."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from time import monotonic

from infra.commands.ground.git import clean_environment
from infra.config.settings import read_env_file, setting_keys

_KEPT = {
    "STACK_BACKEND",
    "STACK_START_TIMEOUT",
    "STACK_PULL_TIMEOUT",
    "POSTGRES_VERSION",
    "POSTGRES_IMAGE",
    "REDIS_VERSION",
    "REDIS_IMAGE",
}
_TESTS = "tests/product"
_LINES_SHOWN = 40


class Step(StrEnum):
    """The steps that `--skip` knows, in their order."""

    GENERATE = "generate"
    LINT = "lint"
    CHECK = "check"
    TESTS = "tests"


@dataclass(frozen=True, slots=True)
class Result:
    """How a step ended; `output` are the last lines of one that failed."""

    step: str
    passed: bool
    seconds: float
    output: str = ""


def commands_of(step: Step, python: str, title: str) -> list[list[str]]:
    """Return the commands of a step; `title` is that of a migration."""
    invoke = [python, "-m", "invoke"]
    return {
        Step.GENERATE: [[*invoke, "generate", "-m", title]],
        Step.LINT: [[*invoke, "lint"]],
        Step.CHECK: [[*invoke, "up", "migrate", "check"]],
        Step.TESTS: [[python, "-m", "pytest", _TESTS]],
    }[step]


def run(name: str, commands: Iterable[Sequence[str]], folder: Path, checkout: Path) -> Result:
    """Run commands in a folder until one fails; `checkout` is whose settings hold for the servers that they start."""
    begun = monotonic()
    environ = _environment(folder, checkout)
    for command in commands:
        with _started(command, folder, environ) as process:
            output = _output(process)
        if process.returncode:
            shown = "\n".join(output.rstrip().split("\n")[-_LINES_SHOWN:])
            return Result(name, passed=False, seconds=monotonic() - begun, output=shown)
    return Result(name, passed=True, seconds=monotonic() - begun)


def _started(command: Sequence[str], folder: Path, environ: dict[str, str]) -> "subprocess.Popen[str]":
    # A shell lets what it runs in the background ignore SIGINT, which all that is started here would inherit.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, former)


def _output(process: "subprocess.Popen[str]") -> str:
    """Return all that a command prints; interrupt it and all that it started where this command is interrupted."""
    try:
        output, _ = process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)  # it takes back what it has begun
        process.communicate()
        raise
    return output


def _environment(folder: Path, checkout: Path) -> dict[str, str]:
    """Return what the steps see: no database but their own, the folder's packages, and how servers are run here."""
    settings = set(setting_keys())
    left_out = (settings - _KEPT) | {"PYTHONSAFEPATH", "PYTHONPATH"}
    kept = {key: text for key, (_, text) in read_env_file(checkout / ".env").items() if key in _KEPT}
    environ = {key: value for key, value in clean_environment().items() if key not in left_out}
    python = str(Path(sys.executable).parent)
    return (
        kept | environ | {"PYTHONPATH": str(folder), "PATH": f"{python}{os.pathsep}{environ.get('PATH', os.defpath)}"}
    )
