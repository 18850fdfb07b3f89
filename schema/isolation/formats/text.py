"""A report as lines of text."""

from collections.abc import Iterable, Iterator

from schema.isolation.causes import Explained, is_attack, place_of
from schema.isolation.report import Report, Stage, counted, counted_causes

_NAMED = 5


def render(report: Report) -> str:
    """Return one line for each finding and for each reason that kept a stage from being looked at, and a summary."""
    return "\n".join(map(_one_line, (*map(_line, report.causes), *incomplete(report), summary(report))))


def render_grouped(report: Report) -> str:
    """Return the same in paragraphs: the findings of each rule together, each fix on a line of its own."""
    rules = dict.fromkeys(cause.finding.rule for cause in report.causes)
    lines = [line for rule in rules for line in (*_group(rule, report.causes), "")]
    return "\n".join(map(_one_line, (*lines, *incomplete(report), summary(report))))


def incomplete(report: Report) -> Iterator[str]:
    """Yield what was not looked at in full, with the reason."""
    for reason, stages in report.incomplete.items():
        yield f"not looked at in full: {_join(stages)}: {reason}"


def summary(report: Report) -> str:
    """Return what was looked at, what was found, and what is not proven; "isolated" only where all of it is."""
    looked = f"{counted(report.tables, 'table')}, {counted(report.rules, 'rule')}, {counted(report.attacks, 'attack')}"
    if report.is_isolated:
        return f"{looked}: isolated"
    found = counted_causes(report.causes) if report.findings else "no finding"
    if not report.incomplete:
        return f"{looked}: {found}"
    complete = [result.stage for result in report.stages if result.is_complete]
    where = f" in {_join(complete)}" if complete and not report.findings else ""
    missing = _join(stage for stages in report.incomplete.values() for stage in stages)
    return f"{looked}: {found}{where}; not looked at in full: {missing}"


def following(cause: Explained) -> str:
    """Return in a sentence what a finding explains: how many attacks or findings of a rule, and on what."""
    kinds: dict[str, list[str]] = {}
    for found in cause.explains:
        kinds.setdefault("attack" if is_attack(found) else f"{found.rule} finding", []).append(place_of(found))
    parts = (f"{counted(len(places), kind)} on {_few(sorted({*places}))}" for kind, places in kinds.items())
    verb = "follows" if len(cause.explains) == 1 else "follow"
    return f"From it {verb} {'; '.join(parts)}." if kinds else ""


def _line(cause: Explained) -> str:
    found = cause.finding
    wrong = f"{found.rule} {found.object}: {found.wrong.rstrip('.')}."
    return " ".join(filter(None, (wrong, following(cause), f"Fix: {found.fix}")))


def _group(rule: str, causes: Iterable[Explained]) -> Iterator[str]:
    yield rule
    for cause in causes:
        if cause.finding.rule == rule:
            wrong = f"{cause.finding.object}: {cause.finding.wrong.rstrip('.')}."
            yield f"  {' '.join(filter(None, (wrong, following(cause))))}"
            yield f"    {cause.finding.fix}"


def _one_line(text: str) -> str:
    """Return text in which no name of the database begins a line of its own."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _join(stages: Iterable[Stage]) -> str:
    return ", ".join(stages)
