"""Factories of rows, as a project names them in its pyproject.toml."""

from itertools import count
from typing import Any
from uuid import UUID

_numbers = count(1)
_times = count(1)


def invoice(tenant: UUID) -> dict[str, Any]:
    """Return what of an invoice cannot be made up."""
    return {"number": f"INV-{next(_numbers):04}", "note": f"for {tenant}"}


def failing(_tenant: UUID) -> dict[str, Any]:
    """Fail."""
    return {"email": str(1 / 0)}


def nothing(_tenant: UUID) -> None:
    """Return nothing."""


def once(_tenant: UUID) -> dict[str, Any]:
    """Return a row once, and fail from then on."""
    if next(_times) > 1:
        raise LookupError("no more rows")
    return {"email": "a@example.com"}


def nonsense(_tenant: UUID) -> dict[str, Any]:
    """Return a column that there is not."""
    return {"colour": "blue"}
