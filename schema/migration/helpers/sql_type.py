"""A column's type by the SQL that names it, for migrations: SQLAlchemy has no class for it, or none that is its own."""

from typing import Any

from sqlalchemy.types import UserDefinedType


class SqlType(UserDefinedType[Any]):
    """The type that PostgreSQL knows as `sql`, such as `point` or `numeric(12, 4)`."""

    cache_ok = True

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def get_col_spec(self, **_: Any) -> str:
        """Return the type as DDL has it (SQLAlchemy manual: UserDefinedType)."""
        return self.sql
