"""How an environment for a checkout is made: the one line of it, and the same in a folder of its own."""

import sys
from collections.abc import Container
from typing import Any

from infra.commands.ground import pyproject

CONSTRAINTS = ("constraints.txt", "infra/product/constraints.txt")


def options(files: Container[str], document: dict[str, Any]) -> list[str]:
    """Return the options of `pip install` for a developer of a checkout with these files."""
    pinned = [word for path in CONSTRAINTS if path in files for word in ("-c", path)]
    return ["-q", *pinned, "-e", f".[{','.join(pyproject.extras(document))}]"]


def line(files: Container[str], document: dict[str, Any]) -> str:
    """Return the line of a shell that makes a developer's environment."""
    words = [f"'{word}'" if "[" in word else word for word in options(files, document)]
    return f"python3 -m venv --without-pip .venv && python3 -m pip --python .venv install {' '.join(words)}"


def commands(files: Container[str], document: dict[str, Any]) -> list[list[str]]:
    """Return the commands that make an environment `.venv` in the folder where they are run."""
    pip = [sys.executable, "-m", "pip", "--python", ".venv", "install", "--disable-pip-version-check"]
    return [[sys.executable, "-m", "venv", "--without-pip", ".venv"], [*pip, *options(files, document)]]
