"""Run whole commands, as a person does, or work of this process, and take their time."""

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path

from infra.settings import Settings, key_of

_LAST_BYTES = 2000


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


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds on the clock, and of processor time in the command and those of its children that it waited for."""

    wall: float
    cpu: float


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
        return Sample(time.perf_counter() - started, time.process_time() - cpu)
    with tempfile.TemporaryFile() as output:
        cpu, started = _children_cpu(), time.perf_counter()
        process = subprocess.Popen(
            command.words,
            cwd=command.folder,
            env=_environment() | dict(command.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait()
        except BaseException:
            with uninterrupted(), suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
            raise
        sample = Sample(time.perf_counter() - started, _children_cpu() - cpu)
        if process.returncode != 0:
            output.seek(0)
            last_words = output.read()[-_LAST_BYTES:].decode(errors="replace").strip()
            raise CommandFailed(f"`{' '.join(command.words)}` ended with {process.returncode}: {last_words}")
    return sample


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
    """Return this process's environment without settings, which are those of the checkout it was started from."""
    settings = {key_of(setting) for setting in fields(Settings)}
    return {key: value for key, value in os.environ.items() if key not in settings}


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
