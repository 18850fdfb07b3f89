"""The order and the figures of a comparison. Pure: no process, no clock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TypeVar

Side = TypeVar("Side")


def interleave(sides: Sequence[Side], rounds: int) -> Iterator[Side]:
    """Yield every side once a round, each round in the other order (A B, B A, …).

    What the machine does beside is then shared by the sides, and none always runs in another's wake.
    """
    for number in range(rounds):
        yield from sides if number % 2 == 0 else reversed(sides)


@dataclass(frozen=True, slots=True)
class Summary:
    """What is told of a series of samples; `spread` is the distance between its quartiles."""

    samples: tuple[float, ...]
    median: float
    minimum: float
    maximum: float
    spread: float


def summarise(samples: Sequence[float]) -> Summary:
    """Return the figures of at least one sample."""
    quartiles = quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else (0.0, 0.0, 0.0)
    return Summary(tuple(samples), median(samples), min(samples), max(samples), quartiles[2] - quartiles[0])


@dataclass(frozen=True, slots=True)
class Comparison:
    """One series against another: the ratio and the distance of their medians, and the median ratio within a round."""

    ratio: float
    beyond: float
    paired_ratio: float


def compare(ours: Summary, peer: Summary) -> Comparison:
    """Compare two series that were taken in the same rounds."""
    return Comparison(
        ratio=ours.median / peer.median,
        beyond=ours.median - peer.median,
        paired_ratio=median(a / b for a, b in zip(ours.samples, peer.samples, strict=True)),
    )
