"""Tell what was measured: a table for people, plain data for programs."""

import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.ground.benchmarks.cases import Measured, Series, Target
from tests.ground.benchmarks.commands import Figure
from tests.ground.benchmarks.timing import Summary

_HEADINGS = ("case", "figure", "ours", "peer", "ratio", "beyond", "target", "aim", "peer is")
_UNITS = {Figure.WALL: "wall s", Figure.CPU: "CPU s", Figure.MEMORY: "peak MiB"}
_DECIMALS = {Figure.WALL: 3, Figure.CPU: 3, Figure.MEMORY: 1}


def as_table(measured: Sequence[Measured]) -> str:
    """Return aligned columns, a line for each figure of a case: medians, each with the spread of its quartiles."""
    rows = [_HEADINGS, *(row for found in measured for row in _rows(found))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def as_data(measured: Iterable[Measured], skipped: Mapping[str, str], rounds: int) -> dict[str, Any]:
    """Return the figures with every sample, in seconds and MiB."""
    return {
        "rounds": rounds,
        "machine": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
        "cases": {found.case.name: _described(found) for found in measured},
        "skipped": dict(skipped),
    }


def _rows(found: Measured) -> Iterator[tuple[str, ...]]:
    name, peer = found.case.name, found.peer.label
    for figure, comparison in found.comparisons.items():
        yield (
            name,
            _UNITS[figure],
            _median(found.ours.figures[figure], figure),
            _median(found.peer.figures[figure], figure),
            f"{comparison.ratio:.2f}x",
            f"{comparison.beyond:+.{_DECIMALS[figure]}f}",
            _verdict(found.case.target, found, figure),
            _verdict(found.case.aim, found, figure),
            peer,
        )
        name = peer = ""


def _median(summary: Summary, figure: Figure) -> str:
    decimals = _DECIMALS[figure]
    return f"{summary.median:.{decimals}f} ±{summary.spread / 2:.{decimals}f}"


def _verdict(target: Target | None, found: Measured, figure: Figure) -> str:
    if target is None or figure not in target.figures:
        return "-"
    return f"{target} {'met' if target.met(found.comparisons[figure]) else 'MISSED'}"


def _described(found: Measured) -> dict[str, Any]:
    described: dict[str, Any] = {"ours": _samples(found.ours), "peer": _samples(found.peer)}
    compared = {figure.value: asdict(comparison) for figure, comparison in found.comparisons.items()}
    limits = {"target": found.case.target, "aim": found.case.aim}
    return described | {"comparison": compared} | {name: _limit(target, found) for name, target in limits.items()}


def _samples(series: Series) -> dict[str, Any]:
    return {"label": series.label} | {figure.value: asdict(summary) for figure, summary in series.figures.items()}


def _limit(target: Target | None, found: Measured) -> dict[str, Any] | None:
    if target is None:
        return None
    met = {figure.value: target.met(found.comparisons[figure]) for figure in target.figures}
    return {"most": target.most, "measure": target.measure, "met": met}
