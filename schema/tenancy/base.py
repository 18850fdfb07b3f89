"""The declarative base: type map, constraint names, metadata."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import DateTime, MetaData, Table, Text, Uuid, event
from sqlalchemy.orm import DeclarativeBase, Mapper

from schema.tenancy.identifiers import refuse_too_long

# Names are written out so that a migration can drop what another one made; column names tell same-table keys apart.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of every model."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        UUID: Uuid(),
        datetime: DateTime(timezone=True),
        str: Text(),
    }

    @classmethod
    def __table_cls__(cls, name: str, metadata: MetaData, *args: Any, **kwargs: Any) -> Table:
        """Make the model's table (SQLAlchemy's hook, manual: Declarative, `__table_cls__`)."""
        return Table(name, metadata, *args, **in_the_default_schema(kwargs))


def in_the_default_schema(options: dict[str, Any]) -> dict[str, Any]:
    """Return a table's options without a schema that is the default one: `public` is where every table is made."""
    return {key: value for key, value in options.items() if (key, value) != ("schema", "public")}


@event.listens_for(Base, "mapper_configured", propagate=True)
def _refuse_too_long(mapper: Mapper[Any], _model: type) -> None:
    """Refuse a model, of tenants or not, whose names PostgreSQL would cut (TenancyError)."""
    refuse_too_long(table for table in mapper.tables if isinstance(table, Table))
