"""Run whole commands, as a person does, or work of this process, and take what they cost."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from infra.config.settings import setting_keys
from tests.ground.benchmarks import launch

_LAST_BYTES = 2000


class Figure(StrEnum):
    """What is measured: seconds on the clock, seconds of processor time, peak memory in MiB."""

    WALL = "wall"
    CPU = "cpu"
    MEMORY = "memory"


Sample = Mapping[Figure, float]
"""What one run took.

Processor time is that of the command and of those below it that were waited for; a server that it talks to, or leaves
running, is none of them. Memory is the peak of the largest single one of these processes, not their sum; work of this
process has none that could be told from the rest of it.
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, where it runs, and what it is told beside this process's environment."""

    words: tuple[str, ...]
    folder: Path
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Work:
    """Something that is done in this process."""

    call: Callable[[], object]


class CommandFailed(Exception):
    """A command that has to succeed did not; the message ends with its last words."""


def run(command: Command | Work) -> Sample:
    """Run a command to its end; an interrupted one is ended, children and all, before the interrupt goes on.

    Raises:
        CommandFailed: its exit code is not 0.
    """
    if isinstance(command, Work):
        cpu, started = time.process_time(), time.perf_counter()
        command.call()
        return {Figure.WALL: time.perf_counter() - started, Figure.CPU: time.process_time() - cpu}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as told:
        _launch(command, output, told)
        told.seek(0)
        # Nothing is told where the command could not be started.
        *taken, code = [float(word) for word in told.read().split()] or [-1.0]
        if code != 0:
            output.seek(0)
            last_words = output.read()[-_LAST_BYTES:].decode(errors="replace").strip()
            raise CommandFailed(f"`{' '.join(command.words)}` ended with {code:.0f}: {last_words}")
    wall, cpu, memory = taken
    return {Figure.WALL: wall, Figure.CPU: cpu, Figure.MEMORY: memory / 2**20}


def _launch(command: Command, output: IO[bytes], told: IO[bytes]) -> None:
    process = subprocess.Popen(
        (sys.executable, "-I", "-S", launch.__file__, str(told.fileno()), *command.words),
        cwd=command.folder,
        env=_environment() | dict(command.environ),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=(told.fileno(),),
        start_new_session=True,
    )
    try:
        process.wait()
    except BaseException:
        with uninterrupted(), suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
        raise


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let what is done within go on to its end, however impatient somebody is."""
    handlers = {caught: signal.signal(caught, signal.SIG_IGN) for caught in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for caught, handler in handlers.items():
            signal.signal(caught, handler)


def _environment() -> dict[str, str]:
    """Return this process's environment without what the checkout's users do not have in theirs.

    Settings are those of the checkout it was started from; and a command starts from bytecode, whoever measures it.
    """
    settings = set(setting_keys())
    return {key: value for key, value in os.environ.items() if key not in settings | {"PYTHONDONTWRITEBYTECODE"}}
