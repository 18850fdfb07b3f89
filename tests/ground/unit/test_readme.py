"""The README is held to what the project does."""

import re
import subprocess
import sys
from pathlib import Path

from infra.config.settings import CHECKOUT

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


_LIST = """
from tasks import namespace

print(*(name for name, task in namespace.tasks.items() if task.body.__module__.startswith("infra.commands.")))
"""


def listed_commands() -> set[str]:
    """Return the commands of the ground that `invoke --list` names; what a product adds its own README describes."""
    list_them = [sys.executable, "-c", _LIST]
    return set(subprocess.run(list_them, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.split())


def test_every_command_is_described() -> None:
    """The README's table names each command of `invoke --list`, and no other."""
    described = re.findall(r"^\| `invoke ([a-z-]+)", README, re.MULTILINE)
    assert set(described) == listed_commands()
    assert len(described) == len(set(described))


def test_every_command_in_the_text_exists() -> None:
    """Whatever the README tells to invoke is a command."""
    assert set(re.findall(r"`invoke ([a-z][a-z-]*)", README)) <= listed_commands()


def test_the_code_of_the_readme_compiles() -> None:
    """Each Python block of the README is Python."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")


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
