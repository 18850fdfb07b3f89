"""Factories of rows, for tables whose rows cannot be made up."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any
from uuid import UUID

from infra.errors import ConfigError

Factory = Callable[[UUID], Mapping[str, Any]]
"""Given a tenant's id, returns columns with values for a new row; what it leaves out is made up."""


def load_factories(paths: Mapping[str, str]) -> dict[str, Factory]:
    """Import each `module:function`, by table.

    Raises:
        ConfigError: there is no such module or function; names which.
    """
    return {table: _imported(table, path) for table, path in paths.items()}


def _imported(table: str, path: str) -> Factory:
    module, _, function = path.partition(":")
    try:
        found: Factory = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"tool.groundwork.isolation.factories.{table} in pyproject.toml names {path!r}, which cannot be imported: "
            f"{error}. Write module:function, of a function that takes a tenant's id and returns columns with values."
        ) from None
    return found
