"""Each code block of the pages is run, in order, in a fresh checkout on a stack of its own.

A Python block whose lead names a file is written to that file, and any other is run. A shell block is run. A block of
text is what the command in its first line writes, or the block before it. A block of TOML is added to pyproject.toml.
What builds and runs a release image, `tests/ground/docker/test_release_image.py` runs.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.kit import pages
from tests.kit.availability import needs_redis_cli
from tests.kit.checkout import Checkout, Done, copy_parts
from tests.kit.pages import Block

pytestmark = [pytest.mark.slow, pytest.mark.one_backend]


TABLES = "schema/README.md"
ISOLATION = "schema/isolation/README.md"
# They need what a product has: an engine and the tenant of a request. `test_web_recipes` runs them.
RECIPES = ("from fastapi import", "from starlette.applications import", "from flask import")


def declare(checkout: Checkout, section: str, changed: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write the model of a section into the checkout, with some of its text replaced."""
    block = pages.block_of(TABLES, section)
    text = block.text
    for part, instead in changed.items():
        text = text.replace(part, instead, 1)
    (checkout.path / block.file).write_text(text)


def share_currencies(checkout: Checkout) -> None:
    """Declare the shared list and let the application read it, which the check wants a reason for."""
    declare(checkout, "A list that all tenants share")
    checkout.succeed("generate", "-m", "add currencies")
    (migration,) = (checkout.path / "migrations" / "versions").glob("0002*.py")
    granted = '    op.execute("GRANT SELECT ON currencies TO app_user")\n\n\ndef downgrade'
    migration.write_text(migration.read_text().replace("\n\ndef downgrade", granted))
    checkout.succeed("migrate")
    assert "tenant-column SELECT ON TABLE currencies" in checkout.invoke("check").stdout


def ask_for_a_factory(checkout: Checkout) -> None:
    """Declare invoices with numbers of a pattern, which no value is derived from."""
    pattern = "CheckConstraint(\"number ~ '^INV-[0-9]{4}$'\", name='pattern')"
    changed = {
        "from sqlalchemy.orm": "from sqlalchemy import CheckConstraint\nfrom sqlalchemy.orm",
        'tenant_unique("number")': f'{pattern}, tenant_unique("number")',
    }
    declare(checkout, "A table", changed)
    checkout.succeed("generate", "-m", "add invoices")
    checkout.succeed("migrate")
    assert "probe-row" in checkout.invoke("check").stdout


def let_bypass(checkout: Checkout) -> None:
    """Damage the application's role."""
    checkout.pipe("ALTER ROLE app_user BYPASSRLS", "psql", "--role", "admin")


def let_not_bypass(checkout: Checkout) -> None:
    """Mend it with the fix that the page shows."""
    checkout.pipe("/* as a superuser */ ALTER ROLE app_user NOBYPASSRLS", "psql", "--role", "admin")
    check(checkout)


def check(checkout: Checkout) -> None:
    """Find tenants kept apart."""
    checkout.succeed("check")


# What a page is about happens before the block that begins so, and what it promises holds after it.
BEFORE: Mapping[tuple[str, str], Callable[[Checkout], None]] = {
    (ISOLATION, "$ invoke check"): let_bypass,
    (ISOLATION, "[tool.groundwork.isolation.allow.tenant-column]"): share_currencies,
    (ISOLATION, "[tool.groundwork.isolation.factories]"): ask_for_a_factory,
}
AFTER: Mapping[tuple[str, str], Callable[[Checkout], None]] = {
    (ISOLATION, "$ invoke check"): let_not_bypass,
    (ISOLATION, "[tool.groundwork.isolation.allow.tenant-column]"): check,
    (ISOLATION, "from itertools import count"): check,
}


def nothing(_: Checkout) -> None:
    """Leave the checkout as it is."""


@pytest.mark.parametrize("page", pages.pages())
def test_the_blocks_of_a_page_do_what_it_says(page: str, checkout: Checkout) -> None:
    """Whoever follows a page from top to bottom gets what it shows."""
    if any("redis-cli" in block.text for block in pages.blocks(page)):
        needs_redis_cli()
    copy_parts(checkout.path, "tests", "constraints.txt")
    checkout.succeed("up", "migrate")
    runner = Runner(checkout)
    todo = pages.blocks(page)[2:] if page == pages.README else pages.blocks(page)  # its first two are run by .ci/run
    for block in todo:
        runner.run(block)


class Runner:
    """Follows a page, block by block."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout
        self._written = ""

    def run(self, block: Block) -> None:
        """Do with a block what its page says."""
        place = (block.page, block.first_line)
        BEFORE.get(place, nothing)(self._checkout)
        match block.language:
            case "sh" if "docker run" in block.text or "docker build" in block.text:
                pass
            case "sh":
                self._written = self._succeed(block.text, block).stdout
            case "python" if block.file:
                write(self._checkout.path / block.file, block.text)
            case "python" if any(recipe in block.text for recipe in RECIPES):
                pass
            case "python":
                (self._checkout.path / "followed.py").write_text(block.text)
                self._written = self._succeed("python followed.py", block).stdout
            case "toml":
                merge(self._checkout.path / "pyproject.toml", block.text)
            case "text":
                self._compare(block)
            case other:
                pytest.fail(f"{block}: nothing runs a block of {other!r}")
        AFTER.get(place, nothing)(self._checkout)

    def _succeed(self, script: str, block: Block) -> Done:
        done = self._checkout.shell(script)
        assert done.returncode == 0, f"{block}: {done.returncode}\n{script}\n{done.stdout}{done.stderr}"
        return done

    def _compare(self, block: Block) -> None:
        shown, written = block.text, self._written
        if shown.startswith("$ "):
            command, _, shown = shown[2:].partition("\n")
            done = self._checkout.shell(command)
            written = done.stdout or done.stderr
        assert re.fullmatch(shape(shown), _stripped(written)), f"{block}:\n{written}"


def write(file: Path, text: str) -> None:
    """Write a file; of a migration that is there its functions are replaced."""
    head = file.read_text().partition("\ndef upgrade")[0] if file.exists() else ""
    file.write_text(head + text)


def merge(pyproject: Path, text: str) -> None:
    """Add tables to pyproject.toml; one that is there has to say the same."""
    declared = tomllib.loads(pyproject.read_text())
    if not _holds(declared, tomllib.loads(text)):
        pyproject.write_text(f"{pyproject.read_text()}\n{text}")


def _holds(declared: Any, wanted: Any) -> bool:
    if isinstance(declared, dict) and isinstance(wanted, dict):
        return all(key in declared and _holds(declared[key], each) for key, each in wanted.items())
    return bool(declared == wanted)


_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PARTS = re.compile(rf"(?P<uuid>{_UUID})|(?P<lines>^…\n)|(?P<rest>…)|(?P<digits>\d+)|(?P<blanks> +)", re.MULTILINE)
_LIKE = {"uuid": _UUID, "lines": r"(?:.*\n)*?", "rest": ".*", "digits": r"\d+", "blanks": " +"}


def _stripped(text: str) -> str:
    """Return a text without blanks at the end of its lines and blank lines at its end, which no page shows."""
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).rstrip() + "\n"


def shape(shown: str) -> str:
    """Return the pattern of what a page shows: numbers, ids and the width of columns differ, … stands for anything."""
    pattern, end = "", 0
    for part in _PARTS.finditer(shown):
        pattern += re.escape(shown[end : part.start()]) + _LIKE[part.lastgroup or ""]
        end = part.end()
    return pattern + re.escape(shown[end:])
