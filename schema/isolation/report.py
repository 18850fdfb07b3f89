"""What the isolation check found, and what it did not look at."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from infra.config.errors import InfraError
from schema.errors import IsolationError, MigrationError, SchemaError
from schema.isolation.causes import Explained, explain
from schema.isolation.declarations import Allowed
from schema.isolation.finding import Finding


class Stage(StrEnum):
    """What is looked at, in order; the migrations and the catalogue need no clone, the others do."""

    CATALOGUE = "catalogue"
    MIGRATIONS = "migrations"
    MODELS = "models"
    ATTACKS = "attacks"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What one stage found; `omitted` says why it was left out, `error` what ended it early."""

    stage: Stage
    findings: tuple[Finding, ...] = ()
    omitted: str = ""
    error: Exception | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the stage was looked at from beginning to end."""
        return not self.omitted and self.error is None

    @property
    def reason(self) -> str:
        """Why the stage is not complete; empty where it is."""
        if self.error is None or isinstance(self.error, (InfraError, SchemaError)):
            return str(self.error or self.omitted)
        return f"a fault of the check itself: {type(self.error).__name__}: {self.error}"


def attempt(stage: Stage, look: Callable[[], Iterable[Finding]]) -> StageResult:
    """Return what `look` finds, also where it fails after having found something: by whatever error."""
    findings: list[Finding] = []
    try:
        for finding in look():
            findings.append(finding)  # noqa: PERF402 - what was found before a failure is kept
    except Exception as error:
        return StageResult(stage, tuple(findings), error=error)
    return StageResult(stage, tuple(findings))


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found in a database: the findings that are not allowed, and what became of each stage."""

    database: str
    tables: int
    rules: int
    attacks: int
    stages: tuple[StageResult, ...]
    findings: tuple[Finding, ...]
    allowed: tuple[Allowed, ...]

    @property
    def incomplete(self) -> dict[str, tuple[Stage, ...]]:
        """The stages that were left out or ended early, by their reason."""
        reasons: dict[str, tuple[Stage, ...]] = {}
        for result in self.stages:
            if not result.is_complete:
                reasons[result.reason] = (*reasons.get(result.reason, ()), result.stage)
        return reasons

    @property
    def is_isolated(self) -> bool:
        """Whether everything was looked at, and nothing found that is about isolation."""
        return not self.incomplete and not self.about("isolation")

    @property
    def causes(self) -> tuple[Explained, ...]:
        """The findings that nothing else explains, each with those that it explains."""
        return explain(self.findings)

    def about(self, subject: str) -> tuple[Finding, ...]:
        """Return the findings about "isolation" or "migrations"."""
        return tuple(finding for finding in self.findings if finding.about == subject)

    def require(self) -> None:
        """Accept nothing but isolation, and migrations that are safe to run on a database that others use.

        A stage that was left out, as in production, is accepted; one that failed is not.

        Raises:
            IsolationError: there are findings about isolation.
            MigrationError: there are none, but about migrations.
            Exception: there are none, but a stage failed; what ended it.
        """
        way = "Make what the fix of each says, or allow it with a reason"
        if apart := self.about("isolation"):
            raise IsolationError(
                f"Tenants are not provably kept apart in {self.database}: {counted_causes(explain(apart))}. "
                f"{way} in pyproject.toml.{_also(self.incomplete)}",
                rules=tuple(dict.fromkeys(finding.rule for finding in apart)),
            )
        if self.findings:
            kept = "Tenants are kept apart in" if self.is_isolated else "No finding is about the isolation of"
            raise MigrationError(
                f"{kept} {self.database}, but migrations may block or break what uses a database while they run: "
                f"{counted(len(self.findings), 'finding')}. {way} in a comment above the statement."
                f"{_also(self.incomplete)}",
                files=tuple(dict.fromkeys(PurePath(finding.file).name for finding in self.findings if finding.file)),
            )
        for result in self.stages:
            if result.error:
                raise result.error


def _also(incomplete: Iterable[str]) -> str:
    return " The report names what was not looked at, and why." if incomplete else ""


def counted_causes(causes: Sequence[Explained]) -> str:
    """Return how many findings there are, and how many more they explain."""
    more = sum(len(cause.explains) for cause in causes)
    explained = f" with {more} more that follow from {'it' if len(causes) == 1 else 'them'}" if more else ""
    return f"{counted(len(causes), 'finding')}{explained}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
