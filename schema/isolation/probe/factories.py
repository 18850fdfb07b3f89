"""Factories of rows, for tables whose rows cannot be made up."""

import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from json import dumps
from typing import Any
from uuid import UUID

from infra.config.errors import ConfigError
from schema.isolation.probe.check_solver import CannotSynthesize

Factory = Callable[[UUID], Mapping[str, Any]]
"""Given a tenant's id, returns columns with values for a new row; what it leaves out is made up."""


def load_factories(paths: Mapping[str, str]) -> dict[str, Factory]:
    """Import each `module:function`, by table.

    Raises:
        ConfigError: there is no such module or function; names which.
    """
    return {table: _imported(table, path) for table, path in paths.items()}


def make_row(factory: Factory, table: str, tenant: UUID) -> dict[str, Any]:
    """Return a row of a factory; a factory is anybody's code, so anything may come of it.

    Raises:
        CannotSynthesize: it fails, or returns no columns.
    """
    try:
        return dict(factory(tenant))
    except Exception as error:
        reason = f"its factory fails with {type(error).__name__}: {error}"
        raise CannotSynthesize(table, reason) from error


def factory_to_write(table: str, columns: Iterable[str]) -> str:
    """Return in words the factory that a table needs, with the columns that it must at least return."""
    key = table if re.fullmatch(r"[A-Za-z0-9_-]+", table) else dumps(table, ensure_ascii=False)
    name = re.sub(r"\W+", "_", table).strip("_").lower()
    row = ", ".join(f'"{column}": …' for column in columns) or "…"
    return (
        f'write tests/factories.py with `def {name}(tenant): return {{{row}}}`, and {key} = "tests.factories:{name}" '
        "under [tool.groundwork.isolation.factories] of pyproject.toml"
    )


def _imported(table: str, path: str) -> Factory:
    module, _, function = path.partition(":")
    try:
        found: Factory = getattr(import_module(module), function)
    except Exception as error:  # a module is anybody's code
        raise ConfigError(
            f"tool.groundwork.isolation.factories.{table} in pyproject.toml names {path!r}, which cannot be imported: "
            f"{type(error).__name__}: {error}. Write module:function, of a function that takes a tenant's id and "
            "returns columns with values.",
            setting=f"tool.groundwork.isolation.factories.{table}",
        ) from None
    return found
