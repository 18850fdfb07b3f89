"""SQL of a model that the server refuses is said with the file and the line where the model declares it.

The kind: statements are sent together, so that the server's answer names none of them.
"""

from pathlib import Path

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import CreateView

from infra.config.settings import CHECKOUT
from schema.errors import MigrationError
from schema.tenancy.base import Base
from schema.tenancy.mixin import TenantMixin
from schema.tenancy.policies import restrictive_policy, trigger
from tests.ground.integration.conftest import Scratch

pytestmark = pytest.mark.one_backend

HERE = Path(__file__)


def place_of(said: str) -> str:
    """Return the place of a text in this file as messages have it."""
    line = next(number for number, line in enumerate(HERE.read_text().splitlines(), 1) if said in line)
    return f"{HERE.relative_to(CHECKOUT)}, line {line}: "


def refusal(scratch: Scratch, declared: MetaData) -> str:
    """Return what is said instead of writing a file."""
    with pytest.raises(MigrationError) as refused:
        scratch.generate("Break it", declared)
    assert not list((scratch.checkout / "migrations" / "versions").rglob("*break_it*"))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_each_part_of_a_model_is_named_with_its_line(scratch: Scratch, declared: MetaData) -> None:
    """Whatever of it is refused is said at once, and what is right beside it is not."""

    class Shared(TenantMixin, Base):
        __abstract__ = True
        metadata = declared

        stamp: Mapped[int] = mapped_column(server_default=text("in_mixin()"))

    class Fine(Shared):
        __tablename__ = "fine"

        id: Mapped[int] = mapped_column(primary_key=True)
        stamp: Mapped[int] = mapped_column(CheckConstraint("stamp > 1", name="right"))

    class Broken(Shared):
        __tablename__ = "broken"
        __policies__ = (restrictive_policy("own", "of_no_policy > 0"),)
        __triggers__ = (trigger("own", "AFTER UPDATE OF of_no_trigger", "app.set_updated_at()"),)
        __table_args__ = (
            CheckConstraint(r"word ~ '\:of_no_check' AND 1", name="c"),
            Index("ix_where", "id", postgresql_where=text("now() > stamp")),
            Index("ix_class", "id", postgresql_ops={"id": "of_no_class"}),
            {"postgresql_with": {"of_no_storage": 1}},
        )

        id: Mapped[int] = mapped_column(primary_key=True)
        word: Mapped[str]
        counted: Mapped[str] = mapped_column(Text, Identity())
        computed: Mapped[int] = mapped_column(Computed("of_no_column + 1", persisted=True))

    assert Fine.__table__ is not Broken.__table__
    said = refusal(scratch, declared)
    for text_of_it, part in {
        "in_mixin()": "Default of column stamp",
        "of_no_policy > 0": "Policy own",
        "AFTER UPDATE OF of_no_trigger": "Trigger own",
        r"of_no_check' AND": "Constraint ck_broken_c",
        "now() > stamp": "Index ix_where",
        "of_no_class": "Index ix_class",
        "of_no_storage": "The storage",
        "counted: Mapped[str]": "Identity of column counted",
        "of_no_column + 1": "Generated column computed",
    }.items():
        assert f"{place_of(text_of_it)}{part} of table broken is refused: " in said
    assert "of table fine" not in said


def test_types_tables_and_views_without_a_class_are_named(scratch: Scratch, declared: MetaData) -> None:
    """What needs a type that is refused is not; once the type is right, a view of the table is named."""

    def declare(condition: str) -> None:
        amount = DOMAIN("amount", Integer, check=condition)
        items = Table("items", declared, Column("id", Integer, primary_key=True), Column("n", amount))
        CreateView(select(items.c.id).where(text("of_no_view > 0")), "seen", metadata=declared)

    declare("VALUE > 'of no type'")
    said = refusal(scratch, declared)
    assert said.startswith(f"{place_of('items = Table(')}Type amount of column n of table items is refused: ")
    for name in ("seen", "items"):
        declared.remove(declared.tables[name])
    declare("VALUE > 0")
    said = refusal(scratch, declared)
    assert said.startswith(f"{place_of('of_no_view >')}The query of view seen is refused: column ")


def test_a_statement_that_fails_among_others_is_shown(scratch: Scratch, declared: MetaData) -> None:
    """Where no part is to blame by itself, the message shows the statement of the file that failed."""
    for name in ("a", "b", "c"):
        key = [ForeignKey("a.n")] if name == "b" else []
        Table(name, declared, Column("id", Integer, primary_key=True), Column("n", Integer, *key))
    assert " (SQLSTATE 42830). At: CREATE TABLE b ( " in refusal(scratch, declared)
