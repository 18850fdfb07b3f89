"""A report as SARIF 2.1.0, which code scanning reads.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from json import dumps
from typing import Any
from urllib.parse import quote

from schema.isolation.finding import Finding
from schema.isolation.formats.explanations import meaning
from schema.isolation.report import Report

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "%SRCROOT%"


def render(report: Report) -> str:
    """Return the whole report: every finding is a result, and every stage that is not complete a notification."""
    rules = list(dict.fromkeys(finding.rule for finding in report.findings))
    about = {finding.rule: finding.about for finding in report.findings}
    causes = {id(follower): cause.finding for cause in report.causes for follower in cause.explains}
    run = {
        "tool": {"driver": {"name": "groundwork", "rules": [_rule(rule, about[rule]) for rule in rules]}},
        "invocations": [_invocation(report)],
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The folder that holds pyproject.toml."}}},
        "results": [_result(found, rules.index(found.rule), causes.get(id(found))) for found in report.findings],
        "columnKind": "unicodeCodePoints",
    }
    return dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(rule: str, about: str) -> dict[str, Any]:
    return {
        "id": rule,
        "shortDescription": {"text": meaning(rule).partition(": ")[0].rstrip(".") + "."},
        "help": {"text": meaning(rule)},
        "defaultConfiguration": {"level": _level(about)},
    }


def _invocation(report: Report) -> dict[str, Any]:
    return {
        "executionSuccessful": all(result.error is None for result in report.stages),
        "toolExecutionNotifications": [
            {
                "level": "error" if result.error else "note",
                "message": {"text": f"{result.stage}: not looked at in full: {result.reason}"},
            }
            for result in report.stages
            if not result.is_complete
        ],
    }


def _result(found: Finding, index: int, cause: Finding | None) -> dict[str, Any]:
    follows = f" It follows from {cause.rule} {cause.object}." if cause else ""
    return {
        "ruleId": found.rule,
        "ruleIndex": index,
        "level": _level(found.about),
        "message": {"text": f"{found.object}: {found.wrong.rstrip('.')}.{follows} Fix: {found.fix}"},
        "locations": _locations(found),
        "partialFingerprints": {"ruleAndObject/v1": f"{found.rule} {found.object}"},
    }


def _level(about: str) -> str:
    return "error" if about == "isolation" else "warning"


def _locations(found: Finding) -> list[dict[str, Any]]:
    logical = {"fullyQualifiedName": found.object, "kind": "resource"}
    if not found.file:
        return [{"logicalLocations": [logical]}]
    artifact = {"uri": quote(found.file), "uriBaseId": _ROOT}
    return [
        {
            "physicalLocation": {"artifactLocation": artifact, "region": {"startLine": line}},
            "logicalLocations": [logical],
        }
        for line in found.lines
    ]
