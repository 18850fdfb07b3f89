"""What a product has to do for a version, as the ground's CHANGELOG says it."""

import re
from itertools import zip_longest

PATH = ".github/CHANGELOG.md"
_HEADING = re.compile(r"^## v?(\d+)\.(\d+)\.(\d+).*$", re.MULTILINE)


def between(text: str, after: str, until: str) -> str:
    """Return the parts of a changelog for the versions after one and until another, as they stand there."""
    headings = [*_HEADING.finditer(text)]
    parts = (
        text[heading.start() : following.start() if following else None].strip()
        for heading, following in zip_longest(headings, headings[1:])
        if _version(after) < tuple(map(int, heading.groups())) <= _version(until)
    )
    return "\n\n".join(parts)


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))
