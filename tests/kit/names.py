"""A product whose database, roles and schema of functions have a name of their own."""

from pathlib import Path

import tomlkit

from infra.commands.ground.begin import NAMING
from infra.commands.ground.pyproject import called


def give_database_name(checkout: Path, name: str) -> None:
    """Call the database's objects by this name in a copy, as `invoke init --database-name` does in a repository."""
    for file in (file for folder in NAMING for file in (checkout / folder).rglob("*.py")):
        file.write_text(called(file.read_text(encoding="utf-8"), name), encoding="utf-8")
    pyproject = checkout / "pyproject.toml"
    pyproject.write_text(called(pyproject.read_text(encoding="utf-8"), name), encoding="utf-8")
    write_setting(checkout, "name", name)


def write_setting(checkout: Path, key: str, value: object) -> None:
    """Write a key of [tool.groundwork] in a copy; that of a product has such a table already."""
    pyproject = checkout / "pyproject.toml"
    document = tomlkit.parse(pyproject.read_text(encoding="utf-8"))
    document["tool"]["groundwork"][key] = value
    pyproject.write_text(tomlkit.dumps(document), encoding="utf-8")
