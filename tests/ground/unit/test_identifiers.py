"""No name is declared that PostgreSQL would cut: it keeps 63 bytes of each, whatever it names."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Sequence,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.orm import DeclarativeBase, Mapped, configure_mappers, mapped_column

from schema.errors import TenancyError
from schema.tenancy.base import NAMING_CONVENTION, Base
from schema.tenancy.identifiers import refuse_too_long
from schema.tenancy.keys import tenant_index, tenant_unique
from schema.tenancy.mixin import TenantMixin
from schema.tenancy.policies import restrictive_policy, trigger

LONG = "n" * 64
WIDE = "ä" * 32
"""Of 32 characters, which SQLAlchemy lets pass, and 64 bytes, which PostgreSQL does not."""


class Mood(TypeDecorator[str]):
    """An enum type that is an application's own."""

    impl = Enum("a", "b", name=WIDE)
    cache_ok = True


NAMES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "column": ("column", lambda name: Column(name, Integer)),
    "constraint": ("constraint", lambda name: UniqueConstraint("id", name=name)),
    "check": ("constraint", lambda name: CheckConstraint("id > 0", name=name)),
    "foreign key": ("constraint", lambda name: Column("t_id", ForeignKey("t.id", name=f"{name}"))),
    "index": ("index", lambda name: Index(name, "id")),
    "enum type": ("type", lambda name: Column("c", Enum("a", name=name))),
    "array of an enum type": ("type", lambda name: Column("c", ARRAY(Enum("a", name=name)))),
    "domain": ("type", lambda name: Column("c", DOMAIN(name, Text))),
    "sequence": ("sequence", lambda name: Column("c", Integer, Sequence(name))),
}


@pytest.mark.parametrize("name", [LONG, WIDE], ids=["characters", "bytes"])
@pytest.mark.parametrize("kind", NAMES)
def test_what_would_be_cut_is_refused_with_table_name_and_length(kind: str, name: str) -> None:
    """Columns, constraints, indexes, types and sequences: in bytes, also where characters are few enough."""
    word, part = NAMES[kind]
    table = Table("t", MetaData(), Column("id", Integer, primary_key=True), part(name))
    with pytest.raises(TenancyError, match=rf"^t: the {word} '{name}' has a name of 64 bytes.* keeps 63"):
        refuse_too_long([table])


@pytest.mark.parametrize("kind", NAMES)
def test_what_the_database_keeps_whole_is_accepted(kind: str) -> None:
    """63 bytes are not too many."""
    refuse_too_long([Table("t", MetaData(), Column("id", Integer, primary_key=True), NAMES[kind][1](f"{'ä' * 31}n"))])


def test_tables_schemas_and_sequences_of_their_own_are_refused() -> None:
    """Each is named with its length."""
    tables = [Table(LONG, MetaData()), Table("t", MetaData(), schema=WIDE), Table("u", MetaData(), Column("m", Mood()))]
    with pytest.raises(TenancyError) as refused:
        refuse_too_long(tables, [Sequence(LONG)])
    said = str(refused.value)
    assert f"the table '{LONG}'" in said
    assert f"the schema '{WIDE}'" in said
    assert f"the type '{WIDE}'" in said
    assert f"the sequence '{LONG}'" in said


def test_a_name_that_the_convention_makes_is_shortened_and_accepted() -> None:
    """SQLAlchemy shortens it, the same way each time; in characters, so what stays longer in bytes is refused."""

    def keyed(column: str) -> Table:
        metadata = MetaData(naming_convention=NAMING_CONVENTION)
        return Table("t" * 40, metadata, Column(column, Integer, unique=True, index=True))

    refuse_too_long([keyed("c" * 40)])
    with pytest.raises(TenancyError, match="the index"):
        refuse_too_long([keyed("ä" * 30)])


def test_keys_that_would_be_called_the_same_are_refused() -> None:
    """Where the convention's names differ only in what PostgreSQL cuts, one of the tables could never be made."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)

    def keyed(name: str) -> Table:
        return Table(name, metadata, Column("id", Integer, primary_key=True))

    refuse_too_long([keyed("ä" * 31)])
    with pytest.raises(TenancyError, match=r"one of 'pk_ä+b' of ä+b and 'pk_ä+c' of ä+c\. Name them"):
        refuse_too_long([keyed("ä" * 30 + "b"), keyed("ä" * 30 + "c")])


def test_models_are_refused_when_they_are_configured() -> None:
    """A tenant's model by the mixin, with its policies and triggers, and any other one of the product's by its base."""

    class Product(DeclarativeBase):
        type_annotation_map = Base.type_annotation_map

    class Note(TenantMixin, Product):
        __tablename__ = "notes"
        __table_args__ = (tenant_unique("id", name=LONG), tenant_index("id", name=WIDE))
        __policies__ = (restrictive_policy(LONG, "true"),)
        __triggers__ = (trigger(WIDE, "AFTER INSERT", "app.audit()"),)

        id: Mapped[UUID] = mapped_column(primary_key=True)

    with pytest.raises(TenancyError) as refused:
        configure_mappers()
    Product.registry.dispose()
    for part in (f"constraint '{LONG}'", f"index '{WIDE}'", f"policy '{LONG}'", f"trigger '{WIDE}'"):
        assert f"notes: the {part} has a name of 64 bytes" in str(refused.value)

    class Currency(Base):
        __tablename__ = "currencies_of_this_test"

        id: Mapped[int] = mapped_column(WIDE, primary_key=True)

    with pytest.raises(TenancyError, match=f"currencies_of_this_test: the column '{WIDE}' has a name of 64 bytes"):
        configure_mappers()
    Base.registry._dispose_cls(Currency)
    Base.metadata.remove(Currency.metadata.tables["currencies_of_this_test"])


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=70))
def test_bytes_decide(name: str) -> None:
    """A column is refused exactly where its name takes more than 63 bytes."""
    table = Table("t", MetaData(), Column(name, Integer))
    if len(name.encode()) <= 63:
        refuse_too_long([table])
    else:
        with pytest.raises(TenancyError):
            refuse_too_long([table])
