"""How declared types, defaults and expressions are written in a migration."""

from copy import copy
from functools import cache
from typing import Any, Literal

import sqlalchemy
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _repr_type  # the one that knows the arguments of every type
from alembic.ddl.impl import DefaultImpl
from sqlalchemy import Boolean, ClauseElement, Computed, Dialect, Enum
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import DefaultClause
from sqlalchemy.types import ARRAY, TypeEngine

from schema.migration.diff.declared import stored
from schema.migration.diff.rls.operations import escape
from schema.migration.helpers.sql_type import SqlType
from schema.tenancy.named_types import implementation

_DIALECT = "from sqlalchemy.dialects import postgresql"


def keep_colons(impl: DefaultImpl) -> None:
    """Have every expression written so that `sa.text`, by which the file says it, takes no colon for a parameter's.

    Alembic writes what an expression compiles to, in which nothing tells an escaped colon from another. It has the
    expressions of an index in `literal_column`, which knows no parameters.
    """
    compiled = impl.render_ddl_sql_expr

    def rendered(expression: ClauseElement, *, is_index: bool = False, **how: Any) -> str:
        said = compiled(expression, is_index=is_index, **how)
        return said if is_index else escape(said)

    vars(impl)["render_ddl_sql_expr"] = rendered  # Alembic has no hook for it


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Write what Alembic writes otherwise than it is declared; False leaves it to Alembic (manual: `render_item`)."""
    if kind == "type":
        return _type(item, context)
    if kind == "server_default" and isinstance(item, Computed):
        expression = context.migration_context.impl.render_ddl_sql_expr(item.sqltext)
        return f"sa.Computed({expression!r}, persisted={stored(item).persisted})"
    if kind == "server_default" and isinstance(item, DefaultClause) and isinstance(item.arg, str):
        return repr(item.arg)  # Alembic takes its quotes for those of SQL
    return False


def _type(item: TypeEngine[Any], context: AutogenContext) -> str:
    """Write a type as a class of SQLAlchemy's where that says all of it, and else as the SQL that it is declared as."""
    dialect = context.migration_context.impl.dialect
    written, said = _class(implementation(item), context), item.compile(dialect)
    if written and _is(written, said, dialect):
        return written
    context.imports.add(f"from {SqlType.__module__} import {SqlType.__name__}")
    return f"{SqlType.__name__}({said!r})"


@cache
def _is(written: str, said: str, dialect: Dialect) -> bool:
    """Return whether a type, as it is written, is the SQL that it is declared as."""
    kind = eval(written, {"sa": sqlalchemy, "postgresql": postgresql, "SqlType": SqlType})  # noqa: S307 - Alembic wrote it just now
    return bool(kind.compile(dialect) == said)


def _class(kind: TypeEngine[Any], context: AutogenContext) -> str:
    """Write a type as the class of SQLAlchemy's that it is, or is derived from; nothing where there is none."""
    if isinstance(kind, Enum) and kind.native_enum:
        # A statement of its own makes the type, once, and no table does.
        context.imports.add(_DIALECT)
        return f"postgresql.ENUM(name={str(kind.name)!r}, create_type=False)"
    if isinstance(kind, ARRAY):
        context.imports.add(_DIALECT)
        dimensions = "" if kind.dimensions is None else f", dimensions={kind.dimensions}"
        return f"postgresql.ARRAY({_type(kind.item_type, context)}{dimensions})"
    if isinstance(kind, Enum | Boolean) and kind.create_constraint:
        kind = copy(kind)
        vars(kind)["create_constraint"] = False  # the CHECK is one of the table's
    if isinstance(kind, postgresql.DOMAIN):
        return ""  # made by a statement of its own as well
    of = next((base for base in type(kind).__mro__ if _is_public(base)), None)
    if of is None or of is TypeEngine:
        return ""
    return _alembics(kind if of is type(kind) else kind.adapt(of), context)


def _is_public(kind: type) -> bool:
    return issubclass(kind, TypeEngine) and any(
        getattr(module, kind.__name__, None) is kind for module in (sqlalchemy, postgresql)
    )


def _alembics(kind: TypeEngine[Any], context: AutogenContext) -> str:
    """Write a class of SQLAlchemy's as Alembic does, which would ask here first."""
    opts = context.opts
    context.opts = {**opts, "render_item": None}
    try:
        return _repr_type(kind, context)
    finally:
        context.opts = opts
