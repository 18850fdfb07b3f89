"""The JSON documents of commands, and what their page says of them."""

import re
from typing import Any

from tests.kit import pages

_PAGE = "infra/commands/README.md"


def keys_of(document: Any) -> set[str]:
    """Return every key of a document, at any depth."""
    match document:
        case dict():
            return set(document).union(*map(keys_of, document.values()))
        case list():
            return set().union(*map(keys_of, document))
        case _:
            return set()


def described_keys(command: str) -> set[str]:
    """Return the keys that the table of documents names for a command."""
    row = re.search(rf"^\| `{command}` \| (.*\{{.*)\|$", pages.read(_PAGE), re.MULTILINE)
    assert row, f"{_PAGE} describes no document of {command}"
    return set(re.findall(r'"([a-z_]+\d*)"', row[1]))
