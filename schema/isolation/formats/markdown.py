"""A report as Markdown, for a comment on a pull request."""

import re
from collections.abc import Iterable, Iterator
from html import escape

from schema.isolation.causes import Explained
from schema.isolation.declarations import Allowed
from schema.isolation.formats.text import following, incomplete, summary
from schema.isolation.report import Report, counted, counted_causes

_SPECIAL = re.compile(r"([\\`*_\[\]|~#@])")
_LISTED = 50


def render(report: Report) -> str:
    """Return a heading that says the outcome, a table of the findings, and their fixes in lists that unfold."""
    parts = [
        f"### Isolation check: {_outcome(report)}",
        _text(summary(report)),
        *(f"> {_text(line)}" for line in incomplete(report)),
    ]
    if report.causes:
        parts += [_table(report.causes), _unfolding("Fixes", _fixes(report.causes))]
    parts += [_followers(cause) for cause in report.causes if cause.explains]
    if report.allowed:
        parts.append(_exceptions(report.allowed))
    return "\n\n".join(parts)


def _outcome(report: Report) -> str:
    if report.is_isolated and not report.findings:
        return "isolated"
    return counted_causes(report.causes) if report.findings else "no finding, and not everything was looked at"


def _table(causes: Iterable[Explained]) -> str:
    rows = [
        f"| {_text(cause.finding.rule)} | {_text(cause.finding.object)} | {_text(_wrong(cause))} |" for cause in causes
    ]
    return "\n".join(("| rule | object | what is wrong |", "|---|---|---|", *rows))


def _wrong(cause: Explained) -> str:
    return f"{cause.finding.wrong.rstrip('.')}. {following(cause)}"


def _fixes(causes: Iterable[Explained]) -> Iterator[str]:
    for cause in causes:
        found = cause.finding
        fence = "`" * max((3, *(len(run) + 1 for run in re.findall("`+", found.fix))))
        yield f"{_text(found.rule)} {_text(found.object)}\n\n{fence}text\n{found.fix}\n{fence}"


def _followers(cause: Explained) -> str:
    lines = [f"- {_text(f'{found.rule} {found.object}: {found.wrong}')}" for found in cause.explains[:_LISTED]]
    if (more := len(cause.explains) - _LISTED) > 0:
        lines.append(f"- and {more} more")
    follow = f"{counted(len(cause.explains), 'finding')} from {cause.finding.rule} {cause.finding.object}"
    return _unfolding(follow, ["\n".join(lines)])


def _exceptions(allowed: Iterable[Allowed]) -> str:
    lines = [f"- {_text(f'{entry.rule} {entry.object}: {entry.reason}')}" for entry in allowed]
    return _unfolding(f"{counted(len(lines), 'exception')} with a reason", ["\n".join(lines)])


def _unfolding(title: str, parts: Iterable[str]) -> str:
    # An empty line ends the HTML, so that what follows is Markdown (CommonMark, HTML blocks).
    return "\n\n".join((f"<details><summary>{escape(_plain(title))}</summary>", *parts, "</details>"))


def _text(text: str) -> str:
    """Return text that stays text: in a cell, in a list, and whatever a name of the database holds."""
    return _SPECIAL.sub(r"\\\1", escape(_plain(text), quote=False))


def _plain(text: str) -> str:
    return " ".join(text.split())
