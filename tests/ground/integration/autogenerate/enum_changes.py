"""The changes of enum types."""

from typing import Any

from sqlalchemy import ARRAY, CheckConstraint, Column, ForeignKey, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from schema.tenancy.keys import tenant_foreign_key
from schema.tenancy.mixin import TenantMixin
from tests.ground.integration.autogenerate.changes import (
    ALL_NOTES,
    ANYBODY,
    HAPPY,
    INVOKER,
    MOOD,
    MOODS,
    Change,
    Declare,
    check,
    column,
    index,
    mood,
    several,
    table,
    tenants,
    view,
)

GUARDED = (
    column("m", mood("ok", "sad", "odd"), server_default="ok", nullable=False),
    check("m <> 'sad' OR id > 1"),
    index("ix_ok", "id", postgresql_where=text("m = 'ok'")),
)


def _moody(name: str) -> Declare:
    """Declare a table whose column of the enum type is in a CHECK, an index and a default."""
    return lambda metadata: Table(
        name,
        metadata,
        Column("m", mood("ok", "sad"), server_default="sad", index=True),
        CheckConstraint("m <> 'ok'", name="c"),
    )


def _referring(*labels: str) -> Declare:
    """Declare a table that references `t` by a column of the enum type."""
    return lambda metadata: Table(
        "u", metadata, Column("id", Integer, primary_key=True), Column("m", mood(*labels), ForeignKey("t.m"))
    )


def _ranks(*labels: str) -> Declare:
    """Declare a tenant table whose rows refer to others of it by a key of the enum type."""

    def declare(metadata: MetaData) -> object:
        class Product(DeclarativeBase):
            pass

        Product.metadata = metadata

        class Rank(TenantMixin, Product):
            __tablename__ = "t"
            __table_args__ = (tenant_foreign_key("above", "t.m"),)

            m: Mapped[Any] = mapped_column(mood(*labels), primary_key=True)
            above: Mapped[Any] = mapped_column(mood(*labels))

        return Rank

    return several(tenants, declare)


RANKED = (
    f"INSERT INTO tenants VALUES ('{ANYBODY}')",
    "ALTER TABLE t NO FORCE ROW LEVEL SECURITY",
    f"INSERT INTO t (tenant_id, m, above) VALUES ('{ANYBODY}', 'sad', 'ok'), ('{ANYBODY}', 'ok', 'ok')",
    "ALTER TABLE t FORCE ROW LEVEL SECURITY",
)

ENUMS = {
    "enum added with its column": Change(table(), table(MOOD)),
    "enum added with its table": Change(table(), several(table(), lambda m: Table("u", m, Column("m", mood("ok"))))),
    "enum dropped with its column": Change(table(MOOD), table(), HAPPY),
    "enum dropped with its table": Change(several(table(), lambda m: Table("u", m, Column("m", mood("ok")))), table()),
    "enum value appended": Change(table(MOOD), table(column("m", mood("ok", "sad", "odd"))), HAPPY, MOODS),
    "enum value inserted": Change(table(MOOD), table(column("m", mood("new", "ok", "it's", "sad"))), HAPPY, MOODS),
    "enum value appended and used": Change(
        table(column("m", mood("ok", "sad"), server_default="ok"), check("m <> 'sad' OR id > 1")),
        table(column("m", mood("ok", "sad", "odd"), server_default="odd"), check("m <> 'odd' OR id > 1")),
        HAPPY,
        MOODS,
    ),
    "enum value removed": Change(table(column("m", mood("ok", "odd", "sad"))), table(MOOD), HAPPY, MOODS),
    "enum value removed that a default, a check and an index know": Change(
        several(table(*GUARDED), view("m = 'ok'", "m", **INVOKER)),
        several(
            table(
                column("m", mood("ok", "sad"), server_default="sad", nullable=False),
                check("m <> 'sad' OR id > 1"),
                index("ix_ok", "id", postgresql_where=text("m = 'ok'")),
            ),
            view("m = 'ok'", "m", **INVOKER),
        ),
        HAPPY,
        MOODS,
    ),
    "enum value removed with the check and the index on it": Change(
        table(
            column("m", mood("ok", "odd", "sad")),
            check("m <> 'odd'"),
            index("ix_odd", "id", postgresql_where=text("m = 'odd'")),
        ),
        table(MOOD),
        HAPPY,
        MOODS,
    ),
    "enum value removed with a column and a table that have it": Change(
        several(table(MOOD, column("k", mood("ok", "sad"), server_default="sad"), check("k <> 'ok'")), _moody("u")),
        table(column("m", mood("ok"))),
        ("INSERT INTO t VALUES (1, 'ok')",),
        MOODS,
    ),
    "enum value removed that a column holds which becomes text": Change(
        table(column("m", mood("ok", "sad"), server_default="sad"), column("k", mood("ok", "sad"))),
        table(column("m", Text, server_default=text("lower('A')")), column("k", mood("ok"))),
        ("INSERT INTO t VALUES (1, 'sad', 'ok')",),
        MOODS,
    ),
    "enum value removed that a foreign key goes over": Change(
        several(table(column("m", mood("ok", "odd", "sad"), unique=True)), _referring("ok", "odd", "sad")),
        several(table(column("m", mood("ok", "sad"), unique=True)), _referring("ok", "sad")),
        (*HAPPY, "INSERT INTO u VALUES (1, 'ok')"),
        "SELECT t.id, t.m::text, u.m::text FROM t LEFT JOIN u USING (id) ORDER BY 1",
    ),
    "enum value removed that a tenant's key and foreign key go over": Change(
        _ranks("ok", "odd", "sad"), _ranks("ok", "sad"), RANKED, ALL_NOTES
    ),
    "enum value added that a tenant's key and foreign key go over": Change(
        _ranks("ok", "sad"), _ranks("ok", "odd", "sad"), RANKED, ALL_NOTES
    ),
    "enum reordered": Change(table(MOOD), table(column("m", mood("sad", "ok"))), HAPPY, MOODS),
    "enum that becomes another": Change(
        table(column("m", mood("ok", "sad"), server_default="ok")),
        table(column("m", ENUM("ok", "sad", "odd", name="feeling"), server_default="sad")),
        HAPPY,
        MOODS,
    ),
    "enum's array": Change(
        table(column("m", ARRAY(mood("ok", "sad")))),
        table(column("m", ARRAY(mood("sad", "ok")))),
        ("INSERT INTO t VALUES (1, '{ok,sad}')",),
        MOODS,
    ),
    "enum of the dialect": Change(
        table(column("m", ENUM("ok", name="mood"))),
        table(column("m", ENUM("ok", "sad", name="mood"))),
        ("INSERT INTO t VALUES (1, 'ok')",),
        MOODS,
    ),
}
