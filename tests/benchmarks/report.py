"""Tell what was measured: a table for people, plain data for programs."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.benchmarks.cases import Measured, Series, Target

_HEADINGS = ("case", "ours (s)", "peer (s)", "ratio", "beyond", "target", "aim", "peer is")


def as_table(measured: Sequence[Measured]) -> str:
    """Return the figures as aligned columns; the seconds are medians, each with the spread of its quartiles."""
    rows = [_HEADINGS, *map(_row, measured)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def as_data(measured: Iterable[Measured], skipped: Mapping[str, str], rounds: int) -> dict[str, Any]:
    """Return the figures with every sample, in seconds."""
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


def _row(found: Measured) -> tuple[str, ...]:
    comparison = found.comparison
    return (
        found.case.name,
        _seconds(found.ours),
        _seconds(found.peer),
        f"{comparison.ratio:.2f}x",
        f"{comparison.beyond:+.3f} s",
        _verdict(found.case.target, found),
        _verdict(found.case.aim, found),
        found.peer.label,
    )


def _seconds(series: Series) -> str:
    return f"{series.wall.median:.3f} ±{series.wall.spread / 2:.3f}"


def _verdict(target: Target | None, found: Measured) -> str:
    if target is None:
        return "-"
    return f"{target} {'met' if target.met(found.comparison) else 'MISSED'}"


def _described(found: Measured) -> dict[str, Any]:
    described = {"ours": asdict(found.ours), "peer": asdict(found.peer), "comparison": asdict(found.comparison)}
    limits = {"target": found.case.target, "aim": found.case.aim}
    return described | {name: _limit(target, found) for name, target in limits.items()}


def _limit(target: Target | None, found: Measured) -> dict[str, Any] | None:
    if target is None:
        return None
    return {"most": target.most, "measure": target.measure, "met": target.met(found.comparison)}
