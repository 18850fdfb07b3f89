"""A report in each format. The kind: what one format would lose, break or take for its own signs."""

import json
import re
from typing import Any

import pytest

from schema.errors import DatabaseUnavailable
from schema.isolation.declarations import Allowed
from schema.isolation.finding import Finding, rule_id
from schema.isolation.formats import Format, render
from schema.isolation.formats.explanations import meaning
from schema.isolation.probe import RULES as PROBE_RULES
from schema.isolation.report import Report, Stage, StageResult
from schema.isolation.rules import RULES

OFF = Finding("row-security-off", "users", "it is off", "ALTER TABLE users ENABLE ROW LEVEL SECURITY")
READ = Finding("probe-read", "users", "as another tenant: 1 of a tenant's rows shown or touched", "see \\d users")
DELETE = Finding("probe-delete", "users", "as nobody: 1 of a tenant's rows shown or touched", "see \\d users")
LINT = Finding(
    "data-statement",
    "0007_a.py:12,40",
    "no tenant",
    "say which",
    "isolation",
    "migrations/versions/0007 ä.py",
    (12, 40),
)
SLOW = Finding(
    "adding-not-nullable-field", "0008_b.py:9", "it blocks", "wait", "migrations", "migrations/0008_b.py", (9,)
)
ODD = Finding("policy-permissive", 'a|b\n<b>`*_[x](y)~#@team\\"', "USING (a | b)\r\nOR `c`", "DROP ``` POLICY\n| x")
NAMES = tuple(StageResult(stage) for stage in Stage)
BROKEN = (*NAMES[:2], StageResult(Stage.MODELS, omitted="not here"), StageResult(
    Stage.ATTACKS, error=DatabaseUnavailable("Lost the connection. Start it.", transient=True)
))  # fmt: skip


def report(*findings: Finding, stages: tuple[StageResult, ...] = NAMES) -> Report:
    """Return a report of these findings."""
    allowed = (Allowed("tenant-column", "currencies", "all read | the same"),)
    return Report("postgresql://app_owner@h:1/app", 3, 40, 80, stages, findings, allowed)


def test_piped_text_is_a_line_for_each_cause_and_a_summary() -> None:
    """What follows is counted in its cause's line; no name begins a line of its own."""
    lines = render(report(OFF, READ, DELETE, ODD), Format.TEXT).split("\n")
    assert lines == [
        "row-security-off users: it is off. From it follow 2 attacks on users. Fix: " + OFF.fix,
        f"{ODD.rule} " + (f"{ODD.object}: {ODD.wrong}. Fix: {ODD.fix}").replace("\r", "\\r").replace("\n", "\\n"),
        "3 tables, 40 rules, 80 attacks: 2 findings with 2 more that follow from them",
    ]


def test_text_for_a_person_is_grouped() -> None:
    """The rule stands once, each fix on a line of its own, so that it can be copied."""
    other = Finding(OFF.rule, "tenants", "it is off", "ALTER TABLE tenants ENABLE ROW LEVEL SECURITY")
    lines = render(report(OFF, other, SLOW), Format.TEXT, grouped=True).split("\n")
    assert lines.count("row-security-off") == 1
    assert [line.strip() for line in lines].count(OFF.fix) == 1
    assert lines[-1].endswith(": 3 findings")


@pytest.mark.parametrize("form", Format)
def test_what_was_not_looked_at_is_in_every_format(form: Format) -> None:
    """With or without findings, each stage is named with its reason, and nothing is called isolated."""
    for findings in ((), (OFF,)):
        written = render(report(*findings, stages=BROKEN), form)
        assert "not here" in written
        assert "Lost the connection" in written
        assert "models" in written
        assert "attacks" in written
        assert not re.search(r'\bisolated\b(?!": false)', written)


def test_json_holds_every_finding() -> None:
    """What follows from a cause is nested in it, with all that is known of it."""
    told = json.loads(render(report(OFF, READ, DELETE, LINT), Format.JSON))
    assert [(finding["rule"], len(finding["explains"])) for finding in told["findings"]] == [
        ("row-security-off", 2),
        ("data-statement", 0),
    ]
    assert told["findings"][1]["lines"] == [12, 40]


# Of the published JSON schema what concerns the objects that are written: required and known properties.
SARIF: dict[str, tuple[set[str], set[str]]] = {
    "log": ({"version", "runs"}, {"$schema"}),
    "run": ({"tool"}, {"invocations", "originalUriBaseIds", "results", "columnKind", "automationDetails"}),
    "driver": ({"name"}, {"rules", "version", "informationUri"}),
    "rule": ({"id"}, {"shortDescription", "help", "defaultConfiguration", "fullDescription", "helpUri"}),
    "invocation": ({"executionSuccessful"}, {"toolExecutionNotifications"}),
    "notification": ({"message"}, {"level"}),
    "result": ({"message"}, {"ruleId", "ruleIndex", "level", "locations", "partialFingerprints"}),
    "location": (set(), {"physicalLocation", "logicalLocations"}),
    "physical": (set(), {"artifactLocation", "region"}),
    "logical": (set(), {"fullyQualifiedName", "kind"}),
    "artifact": (set(), {"uri", "uriBaseId"}),
    "region": (set(), {"startLine"}),
}
LEVELS = {"none", "note", "warning", "error"}
URI_REFERENCE = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@%/]+")


def is_valid(kind: str, value: dict[str, Any]) -> bool:
    """Return whether an object has what the schema requires of its kind, and nothing else."""
    required, known = SARIF[kind]
    return required <= value.keys() <= required | known


def test_sarif_is_what_the_schema_requires() -> None:
    """Objects, levels, indexes, places and URIs, as SARIF 2.1.0 has them."""
    log = json.loads(render(report(OFF, READ, LINT, SLOW, ODD, stages=BROKEN), Format.SARIF))
    assert is_valid("log", log)
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert is_valid("run", run)
    assert is_valid("driver", driver)
    assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    for rule in driver["rules"]:
        assert is_valid("rule", rule)
        assert rule["help"]["text"]
        assert rule["shortDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in LEVELS
    assert len({rule["id"] for rule in driver["rules"]}) == len(driver["rules"])
    for result in run["results"]:
        assert is_valid("result", result)
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in LEVELS
        assert result["message"]["text"]
        for place in result["locations"]:
            assert is_valid("location", place)
            assert all(is_valid("logical", each) for each in place["logicalLocations"])
            if physical := place.get("physicalLocation"):
                assert is_valid("physical", physical)
                assert is_valid("artifact", physical["artifactLocation"])
                assert is_valid("region", physical["region"])
                assert URI_REFERENCE.fullmatch(physical["artifactLocation"]["uri"])
                assert physical["artifactLocation"]["uriBaseId"] in run["originalUriBaseIds"]
    (invocation,) = run["invocations"]
    assert is_valid("invocation", invocation)
    assert invocation["executionSuccessful"] is False
    assert all(is_valid("notification", each) and each["level"] in LEVELS
               for each in invocation["toolExecutionNotifications"])  # fmt: skip


def test_sarif_says_where() -> None:
    """A migration's finding has a place for each of its lines; findings about migrations are warnings."""
    (run,) = json.loads(render(report(OFF, READ, LINT, SLOW), Format.SARIF))["runs"]
    off, read, lint, slow = run["results"]
    assert [place["physicalLocation"]["region"]["startLine"] for place in lint["locations"]] == [12, 40]
    assert (off["level"], slow["level"]) == ("error", "warning")
    assert [place["logicalLocations"][0]["fullyQualifiedName"] for place in off["locations"]] == ["users"]
    assert "It follows from row-security-off users." in read["message"]["text"]


def test_sarif_without_findings_is_a_run() -> None:
    """What code scanning closes alerts by is a run with no results, and not a run without the list."""
    (run,) = json.loads(render(report(), Format.SARIF))["runs"]
    assert run["results"] == []
    assert run["invocations"][0] == {"executionSuccessful": True, "toolExecutionNotifications": []}


def test_every_rule_has_a_meaning() -> None:
    """SARIF's rules and help name each by what it demands."""
    for rule in (*map(rule_id, RULES), *PROBE_RULES, "as-declared", "data-statement", "allow-list"):
        assert len(meaning(rule)) > 20
        assert rule == "squawk" or meaning(rule) != meaning("adding-not-nullable-field")


def test_markdown_keeps_to_its_cells() -> None:
    """A name of the database is text: it ends no cell, no row and no list, and is no HTML, link or mention."""
    written = render(report(OFF, READ, ODD), Format.MARKDOWN)
    table = written.partition("<details>")[0]
    rows = [line for line in table.split("\n") if line.startswith("|") and "---" not in line]
    assert len(rows) == 3
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 4 for row in rows)
    assert "<b>" not in table
    assert r"\@team" in written
    assert "````text\nDROP ``` POLICY" in written
    assert written.count("<details>") == written.count("</details>") == 3


def test_markdown_of_nothing_is_useful() -> None:
    """Without findings it says what was looked at, and which exceptions stand, with their reasons."""
    written = render(report(), Format.MARKDOWN)
    assert written.startswith("### Isolation check: isolated\n\n3 tables, 40 rules, 80 attacks: isolated")
    assert r"all read \| the same" in written
    assert "| rule |" not in written
