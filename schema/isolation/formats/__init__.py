"""How a report of the isolation check is written: for people, for programs, for code scanning, for a pull request."""

from enum import StrEnum

from schema.isolation.formats import json, markdown, sarif, text
from schema.isolation.report import Report


class Format(StrEnum):
    """What a report can be written as."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    MARKDOWN = "markdown"


def render(report: Report, form: Format, *, grouped: bool = False) -> str:
    """Write a report; text is `grouped` by rule for a person, else one line for each finding."""
    match form:
        case Format.TEXT:
            return text.render_grouped(report) if grouped else text.render(report)
        case Format.JSON:
            return json.render(report)
        case Format.SARIF:
            return sarif.render(report)
        case Format.MARKDOWN:
            return markdown.render(report)
