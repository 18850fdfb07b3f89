"""How declared types are written in a migration."""

from typing import Any, Literal

from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Enum
from sqlalchemy.types import ARRAY

from schema.autogenerate.declared import enum_of


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Write an enum type by its name: a statement of its own makes the type, once, and no table does.

    False leaves what is asked for to Alembic (manual: `render_item`).
    """
    if kind != "type" or not isinstance(item, Enum | ARRAY) or (found := enum_of(item)) is None:
        return False
    context.imports.add("from sqlalchemy.dialects import postgresql")
    written = f"postgresql.ENUM(name={str(found.name)!r}, create_type=False)"
    if isinstance(item, ARRAY):
        dimensions = "" if item.dimensions is None else f", dimensions={item.dimensions}"
        return f"postgresql.ARRAY({written}{dimensions})"
    return written
