"""The pages are held to what the project does."""

import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.config.settings import CHECKOUT
from tests.kit import pages
from tests.kit.pages import Block

COMMANDS = "infra/commands/README.md"
EVERY = [*pages.pages(), *pages.pages_for_developers()]
BLOCKS = [block for page in pages.pages() for block in pages.blocks(page)]
LANGUAGES: dict[str, Callable[[Block], object]] = {
    "python": lambda block: compile(block.text, str(block), "exec"),
    "toml": lambda block: tomllib.loads(block.text),
    "sh": lambda block: subprocess.run(["bash", "-n"], input=block.text.encode(), check=True),
    "text": lambda block: block.text,
}


_LIST = """
from tasks import namespace

print(*(name for name, task in namespace.tasks.items() if task.body.__module__.startswith("infra.commands.")))
"""


@functools.cache
def listed_commands() -> frozenset[str]:
    """Return the commands of the ground that `invoke --list` names; what a product adds, its own pages describe."""
    list_them = [sys.executable, "-c", _LIST]
    return frozenset(subprocess.run(list_them, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.split())


def test_every_command_is_described() -> None:
    """The table of commands names each command of `invoke --list`, and no other."""
    described = re.findall(r"^\| `invoke ([a-z-]+)", pages.read(COMMANDS), re.MULTILINE)
    assert set(described) == listed_commands()
    assert len(described) == len(set(described))


@pytest.mark.parametrize("page", EVERY)
def test_every_command_in_the_text_exists(page: str) -> None:
    """Whatever a page tells to invoke is a command."""
    named = re.findall(r"(?:`|^|\| )invoke ([a-z][a-z-]*)", pages.read(page), re.MULTILINE)
    assert set(named) <= listed_commands()


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_every_block_is_of_a_language_that_is_run(block: Block) -> None:
    """A block says what language it is in, and is correct in it; `tests/ground/contract/test_pages_run.py` runs it."""
    LANGUAGES[block.language](block)


@pytest.mark.parametrize("page", EVERY)
def test_every_link_leads_somewhere(page: str) -> None:
    """A relative link leads to a file of the project, and its anchor to a heading there."""
    for link in pages.links(page):
        if "://" not in link:
            file, anchor = pages.target(page, link)
            assert file.exists(), link
            assert not anchor or anchor in pages.anchors(file.relative_to(CHECKOUT).as_posix()), link


@pytest.mark.skipif(not pages.has_own_readme(), reason="the README is the product's")
def test_the_readme_leads_to_every_page() -> None:
    """No page has to be found by chance: the README links to each."""
    linked = {pages.target(pages.README, link)[0] for link in pages.links(pages.README) if "://" not in link}
    assert {(CHECKOUT / page).resolve() for page in pages.pages()[1:]} <= linked


@pytest.mark.skipif(not pages.has_own_readme(), reason="the README is the product's")
def test_the_readme_begins_with_the_two_commands() -> None:
    """`.ci/run` runs the README's first two blocks as a newcomer would: the installation, then the tests."""
    install, test = pages.blocks(pages.README)[:2]
    assert install.text.startswith("python3 -m venv ")
    assert install.text.endswith("&& .venv/bin/invoke up migrate\n")
    assert test.text == ".venv/bin/pytest\n"
    assert all(f"readme_command {number})" in pages.read(".ci/run") for number in (1, 2))


def test_the_activated_environment_has_a_pip_of_its_own() -> None:
    """There the README's line can be repeated, and `pip install` does not go to the system's Python.

    The kind: what the README tells to do before the environment is activated and fails afterwards.
    """
    pip = [sys.executable, "-m", "pip", "--version"]
    said = subprocess.run(pip, check=True, capture_output=True, text=True).stdout
    assert Path(said.split(" from ")[1].split(" (python")[0]).is_relative_to(sys.prefix)
    assert Path(sys.executable).with_name("pip").exists()


def test_no_address_of_a_registry_is_written_down() -> None:
    """The exact versions are names and numbers: no address that they were downloaded from."""
    lines = (CHECKOUT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
