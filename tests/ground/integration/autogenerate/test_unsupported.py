"""What models declare and no migration could serve is refused when it is written, not when it is applied.

The kind: a declaration that SQLAlchemy accepts, whose migration can never be applied or is never seen again.
"""

import re
from collections.abc import Callable

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateView, SchemaItem

from schema.errors import MigrationError
from schema.tenancy.base import NAMING_CONVENTION, Base
from schema.tenancy.keys import tenant_foreign_key
from schema.tenancy.mixin import TenantMixin
from tests.ground.integration.conftest import Scratch
from tests.kit.cases import Cases

pytestmark = pytest.mark.one_backend


@pytest.fixture
def written(scratch: Scratch) -> Scratch:
    """Give a migrated database."""
    scratch.upgrade()
    return scratch


def test_public_is_the_default_schema(written: Scratch, declared: MetaData) -> None:
    """Models that name it are those that do not: one migration, and then nothing is pending."""

    class Product(Base):
        __abstract__ = True
        metadata = declared

    class Bill(TenantMixin, Product):
        __tablename__ = "bills"
        __table_args__ = ({"schema": "public"},)

        id: Mapped[int] = mapped_column(primary_key=True)

    class Line(TenantMixin, Product):
        __tablename__ = "bill_lines"
        __table_args__ = (tenant_foreign_key("bill_id", "bills.id"), {"schema": "public"})

        id: Mapped[int] = mapped_column(primary_key=True)
        bill_id: Mapped[int]

    class Rate(Product):
        __tablename__ = "rates"
        __table_args__ = ({"schema": "public"},)

        id: Mapped[int] = mapped_column(primary_key=True)

    written.generate("Add bills", declared)
    written.upgrade()
    assert {"bills", "bill_lines", "rates"} <= written.names("relation")
    assert written.generate("Nothing", declared) is None


@pytest.mark.parametrize("what", ["table billing.items", "type billing.mood", "sequence billing.numbers"])
def test_another_schema_is_refused_by_name(what: str, written: Scratch, declared: MetaData) -> None:
    """Nothing is written for a table, a type or a sequence that would be made elsewhere."""
    match what.split(".")[1]:
        case "items":
            Table("items", declared, Column("id", Integer, primary_key=True), schema="billing")
        case "mood":
            Table("moods", declared, Column("m", Enum("ok", name="mood", schema="billing"), primary_key=True))
        case _:
            Sequence("numbers", schema="billing", metadata=declared)
    files = written.files
    with pytest.raises(MigrationError, match=rf"{what}.*leave `schema` out"):
        written.generate("Add", declared)
    assert written.files == files


@pytest.mark.parametrize("through", ["the table", "a view"])
def test_a_materialized_view_of_tenants_is_refused(through: str, written: Scratch, declared: MetaData) -> None:
    """It could be written and never applied; one of a list that all tenants share is made."""
    users = declared.tables["users"]
    source = users if through == "the table" else CreateView(select(users), "seen", metadata=declared).table
    CreateView(select(source.c.email), "emails", metadata=declared, materialized=True)
    files = written.files
    with pytest.raises(MigrationError, match=r"emails \(of users\).*security_invoker"):
        written.generate("Add", declared)
    assert written.files == files


def test_a_materialized_view_of_what_all_share_is_made(written: Scratch, declared: MetaData) -> None:
    """Its rows are nobody's in particular."""

    class Product(DeclarativeBase):
        metadata = declared

    class Rate(Product):
        __tablename__ = "rates"

        id: Mapped[int] = mapped_column(primary_key=True)

    CreateView(select(declared.tables["rates"].c.id), "best", metadata=declared, materialized=True)
    written.generate("Add rates", declared)
    written.upgrade()
    assert written.connection.execute("SELECT relname FROM pg_class WHERE relkind = 'm'").fetchall() == [("best",)]
    assert written.generate("Nothing", declared) is None


UNNAMED: dict[str, Callable[[], tuple[SchemaItem, ...]]] = {
    "A PrimaryKeyConstraint of table t (id)": lambda: (Column("id", Integer, primary_key=True),),
    "A UniqueConstraint of table t (n)": lambda: (Column("n", Integer, unique=True),),
    "A ForeignKeyConstraint of table t (n)": lambda: (Column("n", ForeignKey("u.id")),),
    "A CheckConstraint of table t": lambda: (Column("n", Integer), CheckConstraint("n > 0")),
    "An Index of table t (n)": lambda: (Column("n", Integer, index=True),),
    "An Index of table t": lambda: (Column("n", Integer), Index(None, text("(n + 1)"))),
    "An ExcludeConstraint of table t": lambda: (Column("n", Integer), ExcludeConstraint((text("point(n, n)"), "~="))),
}


@pytest.mark.parametrize("what", UNNAMED)
def test_what_has_no_name_is_refused(what: str, cases: Cases) -> None:
    """The server would choose a name, and nothing could be compared with that."""
    metadata = MetaData(naming_convention={"none of": "these"})
    Table("u", metadata, Column("id", Integer), PrimaryKeyConstraint("id", name="named"))
    Table("t", metadata, *UNNAMED[what]())
    with pytest.raises(MigrationError, match=f"^{re.escape(what)} has no name, .* Give it one: "):
        cases.generate(metadata)


def test_a_check_of_a_type_without_a_name_is_refused(cases: Cases) -> None:
    """The convention makes its name of the type's, which there is none of."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    Table("t", metadata, Column("e", Enum("a", native_enum=False, create_constraint=True)))
    refused = r"^A CheckConstraint of table t \(e\) has no name, .* as the name of the column's type"
    with pytest.raises(MigrationError, match=refused):
        cases.generate(metadata)


def test_a_table_without_a_key_needs_no_name_for_it(cases: Cases) -> None:
    """It is made, and nothing is left to generate, in a MetaData that names nothing."""
    metadata = MetaData()
    Table("t", metadata, Column("n", Integer, index=True))
    cases.run(cases.generate(metadata).upgrade)
    assert cases.generate(metadata).is_empty
