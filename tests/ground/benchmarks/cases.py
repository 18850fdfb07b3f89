"""What a case is, and how it is measured."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum

from infra.backends.protocol import Say
from tests.ground.benchmarks.commands import Command, Figure, Sample, Work, run
from tests.ground.benchmarks.timing import Comparison, Summary, compare, interleave, summarise


class Measure(StrEnum):
    """How a target limits a figure: by the peer's times a factor, or by what is beyond the peer's."""

    RATIO = "ratio"
    BEYOND = "beyond"


@dataclass(frozen=True, slots=True)
class Target:
    """The most that a case may take, at the median, in each of these figures."""

    most: float
    measure: Measure = Measure.RATIO
    figures: tuple[Figure, ...] = (Figure.WALL,)

    def value(self, comparison: Comparison) -> float:
        """Return the figure that the target limits."""
        return comparison.ratio if self.measure is Measure.RATIO else comparison.beyond

    def met(self, comparison: Comparison) -> bool:
        """Return whether the figure is within the limit."""
        return self.value(comparison) <= self.most

    def __str__(self) -> str:
        return f"{self.most:g}x" if self.measure is Measure.RATIO else f"+{self.most:g}"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that a case compares: `prepare` runs before each sample, `command` is what is timed.

    `verify` runs after it, and raises CommandFailed where the command did not do what it is timed for.
    """

    label: str
    command: Command | Work
    prepare: tuple[Command | Work, ...] = ()
    verify: tuple[Work, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """Ours against a peer. `target` is to be met; `aim` is the stricter one that comes after it.

    A case that takes long is timed in one of `every` rounds.
    """

    name: str
    ours: Side
    peer: Side
    target: Target | None = None
    aim: Target | None = None
    every: int = 1

    def rounds(self, asked: int) -> int:
        """Return how often the case is timed where so many rounds are asked for: once at the least."""
        return -(-asked // self.every)


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
    """One side's samples, by figure."""

    label: str
    figures: Mapping[Figure, Summary]


@dataclass(frozen=True, slots=True)
class Measured:
    """A case with its figures; those are compared that both sides have."""

    case: Case
    ours: Series
    peer: Series
    comparisons: Mapping[Figure, Comparison]


def measure(case: Case, asked: int, say: Say) -> Measured:
    """Measure both sides of a case in turn. One round before the first fills caches and does not count.

    Raises:
        CommandFailed: a command of the case did.
    """
    sides, rounds = (case.ours, case.peer), case.rounds(asked)
    taken: tuple[list[Sample], list[Sample]] = ([], [])
    for turn, which in enumerate(interleave((0, 1), rounds + 1)):
        sample = _sample(sides[which])
        number = turn // 2
        if number > 0:
            taken[which].append(sample)
        seconds = f"{sample[Figure.WALL]:.3f} s, {sample[Figure.CPU]:.3f} CPU s"
        say(f"{case.name} {number or 'warm-up'}/{rounds}: {sides[which].label}: {seconds}")
    return compared(case, *taken)


def _sample(side: Side) -> Sample:
    for step in side.prepare:
        run(step)
    sample = run(side.command)
    for step in side.verify:
        run(step)
    return sample


def compared(case: Case, ours: Sequence[Sample], peer: Sequence[Sample]) -> Measured:
    """Return the figures of samples that were taken in the same rounds."""
    mine, theirs = _series(case.ours.label, ours), _series(case.peer.label, peer)
    both = [figure for figure in mine.figures if figure in theirs.figures]
    return Measured(case, mine, theirs, {each: compare(mine.figures[each], theirs.figures[each]) for each in both})


def _series(label: str, samples: Sequence[Sample]) -> Series:
    return Series(label, {figure: summarise([sample[figure] for sample in samples]) for figure in samples[0]})
