"""The JSON documents of commands, and what the README says of them."""

import re
from typing import Any

from infra.config.settings import CHECKOUT


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
    """Return the keys that the README's table of documents names for a command."""
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{command}` \| (.*\{{.*)\|$", readme, re.MULTILINE)
    assert row, f"the README describes no document of {command}"
    return set(re.findall(r'"([a-z_]+\d*)"', row[1]))
