"""What was found, and what it means for `up`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from infra.commands import failure
from infra.config.errors import InfraError, StackError
from schema.errors import SchemaError

T = TypeVar("T")


class Level(StrEnum):
    """What a finding means for `up`: nothing, something to know, or its end."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was found, and what to do about it where it is not well.

    `exit_code` is that of the command that fails for it.
    """

    level: Level
    subject: str
    found: str
    remedy: str = ""
    exit_code: int = 0

    @property
    def text(self) -> str:
        """What was found, and what to do."""
        return f"{self.found}. {self.remedy}" if self.remedy else self.found


def ok(subject: str, found: str) -> Finding:
    """Make the finding of something that is well."""
    return Finding(Level.OK, subject, found)


def warn(subject: str, found: str, remedy: str) -> Finding:
    """Make the finding of something to know that does not keep `up` from succeeding."""
    return Finding(Level.WARN, subject, found, remedy)


def fail(subject: str, found: str, remedy: str) -> Finding:
    """Make the finding of something about the stack or a database that keeps commands from succeeding."""
    return Finding(Level.FAIL, subject, found, remedy, failure.exit_code(StackError(found)))


def failed(subject: str, error: failure.Failure, level: Level = Level.FAIL) -> Finding:
    """Make the finding of an error: its first sentence says what was found, the others what to do."""
    found, _, remedy = str(error).partition(". ")
    return Finding(level, subject, found, remedy, failure.exit_code(error) if level is Level.FAIL else 0)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return the code that `up` would end with: that of the first failure."""
    return next((finding.exit_code for finding in findings if finding.level is Level.FAIL), 0)


class Findings:
    """Findings in the order in which `up` would come upon them."""

    def __init__(self) -> None:
        self._all: list[Finding] = []

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._all)

    def add(self, *more: Finding) -> None:
        """Take findings in."""
        self._all += more

    def attempt(self, subject: str, call: Callable[[], T], level: Level = Level.FAIL) -> T | None:
        """Return what `call` returns; where it fails as `up` would, take that in as a finding and return None."""
        try:
            return call()
        except (InfraError, SchemaError) as error:
            self.add(failed(subject, error, level))
            return None
