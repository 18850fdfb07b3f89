"""What a product has to do for a version, as the ground's CHANGELOG says it."""

import re

PATH = ".github/CHANGELOG.md"
_HEADING = re.compile(r"^## v?(\d+)\.(\d+)\.(\d+).*$", re.MULTILINE)
Version = tuple[int, ...]


def between(text: str, after: str, until: str) -> str:
    """Return the parts of a changelog for the versions after one and until another, as they stand there."""
    headings = [*_HEADING.finditer(text)]
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    parts = (
        text[heading.start() : end].strip()
        for heading, end in zip(headings, ends, strict=True)
        if _version(after) < tuple(map(int, heading.groups())) <= _version(until)
    )
    return "\n\n".join(parts)


def _version(text: str) -> Version:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))
