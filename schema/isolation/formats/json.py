"""A report as JSON, for programs."""

from dataclasses import asdict
from json import dumps
from typing import Any

from schema.isolation.report import Report


def render(report: Report) -> str:
    """Return the whole report."""
    return dumps(describe(report), indent=2)


def describe(report: Report) -> dict[str, Any]:
    """Return a report as plain data.

    `stages` says of each whether it is complete, and why not; a finding `explains` those that follow from it.
    """
    return {
        "database": report.database,
        "isolated": report.is_isolated,
        "tables": report.tables,
        "rules": report.rules,
        "attacks": report.attacks,
        "stages": [
            {
                "stage": result.stage,
                "outcome": "failed" if result.error else "omitted" if result.omitted else "complete",
                "reason": result.reason,
            }
            for result in report.stages
        ],
        "findings": [
            {**asdict(cause.finding), "explains": [asdict(finding) for finding in cause.explains]}
            for cause in report.causes
        ],
        "allowed": [asdict(entry) for entry in report.allowed],
    }
