"""What every command has in common: errors as one paragraph, questions, progress, words that name a choice."""

import atexit
import functools
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from time import monotonic
from types import FrameType
from typing import Any, NoReturn, TypeVar

from invoke.exceptions import Exit
from invoke.tasks import task

Command = TypeVar("Command", bound=Callable[..., None])
Choice = TypeVar("Choice", bound=StrEnum)
_OBJECTS_BEFORE_COLLECTION = 100_000

# Invoke keeps Python from writing bytecode (its option --write-pyc), and each command would compile the project anew.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)


def command(expected: tuple[type[Exception], ...], *repeatable: str, **help_texts: str) -> Callable[[Command], Command]:
    """Make a function a task whose `expected` errors are one paragraph on stderr and their exit code.

    `repeatable` are the options that may be given several times.
    """

    def decorate(function: Command) -> Command:
        @functools.wraps(function)
        def run(*arguments: Any, **options: Any) -> None:
            _collect_seldom()
            # As an exception, so that what an interrupted command has begun is taken back.
            signal.signal(signal.SIGTERM, _terminated)
            try:
                function(*arguments, **options)
            except expected as error:
                told = "\n".join((str(error), *getattr(error, "__notes__", ())))
                raise Exit(told, getattr(error, "exit_code", 1)) from None
            except BrokenPipeError:
                # Whoever read the output, as `head`, has enough; what is still buffered has nowhere to go.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            except KeyboardInterrupt as stop:
                raise Exit("interrupted", 128 + (stop.args[0] if stop.args else signal.SIGINT)) from None

        made: Any = task(run, help=help_texts, iterable=repeatable)
        return made  # type: ignore[no-any-return]  # a task is called as its function is, which its type does not say

    return decorate


def _collect_seldom() -> None:
    """Look for garbage in cycles seldom, and not at the end: a command is short, and modules and models stay.

    A fifth of the time of importing many models went there (Python manual, gc: `set_threshold`, `freeze`).
    """
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM end a block as Ctrl-C does, so that psycopg cancels the statement that runs."""

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say(line: str) -> None:
    """Report progress, on stderr: stdout is the command's answer."""
    print(line, file=sys.stderr, flush=True)


def later(tell: Callable[[str], None] = say, seconds: float = 1) -> Callable[[str], None]:
    """Return what reports progress only where a command takes its time."""
    begun = monotonic()
    return lambda line: tell(line) if monotonic() - begun > seconds else None


def confirm(question: str) -> None:
    """Ask; end the command unless the answer is yes. Where nobody can answer, say how to answer beforehand."""
    if not sys.stdin.isatty():
        raise Exit(f"{question} Nobody can answer here: repeat the command with --yes.", 1)
    if not asked(question):
        raise Exit("nothing was changed", 1)


def asked(question: str) -> bool:
    """Ask, and tell whether the answer is yes."""
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def one_of(kind: type[Choice], text: str, flag: str) -> Choice:
    """Read an option that is one of a few words."""
    try:
        return kind(text)
    except ValueError:
        raise Exit(f"{flag} {text} is unknown: it is one of {', '.join(kind)}", 1) from None


def number(text: str, flag: str) -> int:
    """Read an option that is a whole number. Not left to Invoke, whose answer to anything else is a traceback."""
    if not (text.isascii() and text.isdigit()):
        raise Exit(f"{flag} {text} is no whole number", 1)
    return int(text)
