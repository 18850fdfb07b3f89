"""What every command has in common: errors as one paragraph, questions, progress, words that name a choice."""

import atexit
import functools
import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from time import monotonic
from types import FrameType
from typing import Any, NoReturn, TypeVar

from invoke.exceptions import Exit
from invoke.tasks import task

from infra.commands.failure import as_json, as_text, exit_code
from infra.config import streams
from infra.config.errors import InfraError
from infra.config.identity import Service
from schema.errors import SchemaError

Command = TypeVar("Command", bound=Callable[..., None])
Choice = TypeVar("Choice", bound=StrEnum)
_OBJECTS_BEFORE_COLLECTION = 100_000
_MOMENT = 0.01  # seconds


def command(*repeatable: str, **help_texts: str) -> Callable[[Command], Command]:
    """Make a function a task whose errors that a user can act on are text, or JSON, on stderr and their exit code.

    `repeatable` are the options that may be given several times.
    """

    def decorate(function: Command) -> Command:
        made: Any = task(reporting(function), help=help_texts, iterable=repeatable)
        return made  # type: ignore[no-any-return]  # a task is called as its function is, which its type does not say

    return decorate


def reporting(function: Callable[..., Any]) -> Callable[..., None]:
    """Return the function with errors that a user can act on, and interrupts, on stderr and as their exit code.

    An error is a line of JSON where JSON was asked for, else text.
    """

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> None:
        _collect_seldom()
        streams.make_usable()
        sys.unraisablehook = _interrupt_again
        # As an exception, so that what an interrupted command has begun is taken back.
        signal.signal(signal.SIGTERM, _terminated)
        try:
            function(*arguments, **options)
        except (InfraError, SchemaError) as error:
            for_programs = options.get("json") or options.get("format") == "json"
            told = as_json(error) if for_programs else as_text(error)
            raise Exit("\n".join(map(printable, told.split("\n"))), exit_code(error)) from None
        except BrokenPipeError:
            pass  # whoever read the output, as `head`, has enough
        except KeyboardInterrupt as stop:
            raise Exit("interrupted", 128 + (stop.args[0] if stop.args else signal.SIGINT)) from None
        finally:
            streams.flush()

    return run


def _collect_seldom() -> None:
    """Look for garbage in cycles seldom, and not at the end: a command is short, and modules and models stay.

    A fifth of the time of importing many models went there (Python manual, gc: `set_threshold`, `freeze`).
    """
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def _interrupt_again(ignored: Any) -> None:
    """Deliver an interrupt once more that fell into a callback, which Python only reports (manual, sys.unraisablehook).

    Raised from here it would be reported as well, so another thread delivers it a moment later.
    """
    number = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}.get(ignored.exc_type)
    if number is None:
        sys.__unraisablehook__(ignored)
    else:
        threading.Timer(_MOMENT, signal.pthread_kill, [threading.main_thread().ident, number]).start()


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


def answer(line: str) -> None:
    """Print a line of the command's answer at once, also into a pipe."""
    print(line, flush=True)


def printable(text: str) -> str:
    """Return text from elsewhere as a terminal may show it: what it would act on is escaped as Python writes it."""
    return "".join(
        sign if sign.isprintable() or sign == "\t" else sign.encode("unicode_escape").decode() for sign in text
    )


def later(tell: Callable[[str], None] = say, seconds: float = 1) -> Callable[[str], None]:
    """Return what reports progress only where a command takes its time."""
    begun = monotonic()
    return lambda line: tell(line) if monotonic() - begun > seconds else None


def confirm(question: str) -> None:
    """Ask; end the command unless the answer is yes. Where nobody can answer, say how to answer beforehand."""
    if not sys.stdin.isatty():
        raise Exit(f"{question} Nobody can answer here: repeat the command with --yes.", 1)
    if not ask(question):
        raise Exit("nothing was changed", 1)


def ask(question: str) -> bool:
    """Ask, and return whether the answer is yes."""
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def exclude(**options: object) -> None:
    """Refuse a line that gives more than one of these options: each asks for another answer."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if len(given) > 1:
        raise Exit(
            f"{' and '.join(given)} cannot be given together: each asks for another answer. Give one of them.", 1
        )


def one_of(kind: type[Choice], text: str, flag: str) -> Choice:
    """Read an option that is one of a few words."""
    try:
        return kind(text)
    except ValueError:
        raise Exit(f"{flag} {text} is unknown: it is one of {', '.join(kind)}", 1) from None


def services_of(text: str, known: Iterable[Service]) -> tuple[Service, ...] | None:
    """Read --service: one of the servers that are known, or None for all where it is not given."""
    names = tuple(known) if text else ()
    if text and text not in names:
        raise Exit(f"--service {text} is unknown: it is one of {', '.join(names)}", 1)
    return (Service(text),) if text else None


def number(text: str, flag: str) -> int:
    """Read an option that is a whole number. Not left to Invoke, whose answer to anything else is a traceback."""
    if not (text.isascii() and text.isdigit()):
        raise Exit(f"{flag} {text} is no whole number", 1)
    return int(text)
