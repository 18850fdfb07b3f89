"""The types of columns that PostgreSQL knows by a name of the product's own: enums and domains."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Dialect, Enum
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.types import ARRAY, TypeDecorator, TypeEngine

_POSTGRESQL: Dialect = PGDialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's gap


def implementation(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type that PostgreSQL has for a type, of whatever classes and variants that is decorated with."""
    # SQLAlchemy has no public name for what was given to `with_variant`.
    variant = kind._variant_mapping.get(_POSTGRESQL.name)  # noqa: SLF001 - see above
    if variant is not None:
        return implementation(variant)
    return implementation(kind.load_dialect_impl(_POSTGRESQL)) if isinstance(kind, TypeDecorator) else kind


def named_types(kind: TypeEngine[Any]) -> Iterator[Enum | DOMAIN]:
    """Yield the enums and domains that a column's type is made of, each after those that it is made of."""
    plain = implementation(kind)
    if isinstance(plain, ARRAY):
        yield from named_types(plain.item_type)
    elif isinstance(plain, DOMAIN):
        yield from named_types(plain.data_type)
        yield plain
    elif isinstance(plain, Enum) and plain.native_enum:
        yield plain
