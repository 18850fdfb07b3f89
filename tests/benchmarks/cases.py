"""What a case is, and how it is measured."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum

from infra.backend import Say
from tests.benchmarks.commands import Command, Sample, Work, run
from tests.benchmarks.timing import Comparison, Summary, compare, interleave, summarise


class Measure(StrEnum):
    """What a target limits: the peer's time times a factor, or the seconds beyond the peer's."""

    RATIO = "ratio"
    BEYOND = "beyond"


@dataclass(frozen=True, slots=True)
class Target:
    """The most that a case may take, on the clock and at the median."""

    most: float
    measure: Measure = Measure.RATIO

    def value(self, comparison: Comparison) -> float:
        """Return the figure that the target limits."""
        return comparison.ratio if self.measure is Measure.RATIO else comparison.beyond

    def met(self, comparison: Comparison) -> bool:
        """Tell whether the figure is within the limit."""
        return self.value(comparison) <= self.most

    def __str__(self) -> str:
        return f"{self.most:g}x" if self.measure is Measure.RATIO else f"+{self.most:g} s"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that a case compares: `prepare` runs before each sample, `command` is what is timed."""

    label: str
    command: Command | Work
    prepare: tuple[Command, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """Ours against a peer. `target` is to be met; `aim` is the stricter one that comes after it."""

    name: str
    ours: Side
    peer: Side
    target: Target | None = None
    aim: Target | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases that share what they run on.

    `lacks` says why they cannot run on this machine, None where they can. `set_up` makes what they need and returns
    them in the order of `names`; its argument learns how to remove all of it.
    """

    names: tuple[str, ...]
    lacks: Callable[[], str | None]
    set_up: Callable[[ExitStack], tuple[Case, ...]]


@dataclass(frozen=True, slots=True)
class Series:
    """One side's samples."""

    label: str
    wall: Summary
    cpu: Summary


@dataclass(frozen=True, slots=True)
class Measured:
    """A case with its figures; `comparison` is of the seconds on the clock."""

    case: Case
    ours: Series
    peer: Series
    comparison: Comparison


def measure(case: Case, rounds: int, say: Say) -> Measured:
    """Time both sides of a case in turn. One round before the first fills caches and does not count.

    Raises:
        CommandFailed: a command of the case did.
    """
    sides = (case.ours, case.peer)
    taken: tuple[list[Sample], list[Sample]] = ([], [])
    for turn, which in enumerate(interleave((0, 1), rounds + 1)):
        for step in sides[which].prepare:
            run(step)
        sample = run(sides[which].command)
        number = turn // 2
        if number > 0:
            taken[which].append(sample)
        say(f"{case.name} {number or 'warm-up'}/{rounds}: {sides[which].label}: {sample.wall:.3f} s")
    ours, peer = (_series(side, samples) for side, samples in zip(sides, taken, strict=True))
    return Measured(case, ours, peer, compare(ours.wall, peer.wall))


def _series(side: Side, samples: list[Sample]) -> Series:
    return Series(side.label, summarise([s.wall for s in samples]), summarise([s.cpu for s in samples]))
