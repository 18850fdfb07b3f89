"""A conversion that may not keep every value is named when it is written; whether it does, the rows say later."""

from typing import Any

import pytest
from sqlalchemy import Column, DateTime, Integer, MetaData, Numeric, String, Table, Text

from schema.migration.diff.widening import holds_every_value
from schema.models import metadata
from schema.tenancy.base import NAMING_CONVENTION
from tests.ground.integration.conftest import Scratch

pytestmark = pytest.mark.one_backend


def declared(**types: Any) -> MetaData:
    """Return the project's models and a table with columns of these types."""
    made = MetaData(naming_convention=NAMING_CONVENTION)
    for table in metadata.tables.values():
        table.to_metadata(made)
    columns = (Column(name, kind) for name, kind in types.items())
    Table("prices", made, Column("id", Integer, primary_key=True, autoincrement=False), *columns)
    return made


def test_a_narrowing_conversion_is_named_where_it_is_written(scratch: Scratch) -> None:
    """Above the statement and to whoever generates: column and both types. A widening one is not."""
    said: list[str] = []
    wide = declared(amount=Numeric(12, 4), day=DateTime(), name=String(20))
    scratch.generate("prices", wide, say=said.append)
    assert said == []
    path = scratch.generate("narrower", declared(amount=Numeric(12, 2), day=DateTime(), name=Text()), say=said.append)
    (line,) = said
    assert line.startswith("prices.amount becomes numeric(12,2), which may not hold every value of numeric(12,4)")
    assert path is not None
    assert "# prices.amount becomes numeric(12,2), which may not hold" in path.read_text()
    assert "prices.name" not in path.read_text()


@pytest.mark.parametrize(
    ("former", "wanted", "holds"),
    [
        ("numeric(12,4)", "numeric(14,4)", True),
        ("numeric(12,4)", "numeric(13,5)", True),
        ("numeric(12,4)", "numeric(12,5)", False),
        ("numeric(12,4)", "numeric", True),
        ("numeric", "numeric(12,4)", False),
        ("integer", "numeric(10,0)", True),
        ("bigint", "numeric(10,0)", False),
        ("integer", "bigint", True),
        ("bigint", "integer", False),
        ("bigint", "double precision", False),
        ("character varying(5)", "character varying(6)", True),
        ("character varying(6)", "character varying(5)", False),
        ("character varying(5)", "text", True),
        ("text", "character varying(5)", False),
        ("timestamp(3) without time zone", "timestamp without time zone", True),
        ("timestamp without time zone", "timestamp(3) without time zone", False),
        ("date", "timestamp with time zone", True),
        ("timestamp with time zone", "date", False),
        ("json", "jsonb", False),
        ("bit(4)", "bit(5)", False),
        ("numeric(5,2)[]", "numeric(6,2)[]", True),
        ("numeric(5,2)[]", "numeric(6,2)", False),
        ("mood", "text", True),
        ("mood", "feeling", False),
    ],
)
def test_types_that_hold_every_value_are_told_from_those_that_do_not(former: str, wanted: str, holds: bool) -> None:
    """By kind, digits, length, precision and dimensions; of what is not known a row may be lost."""
    assert holds_every_value(former, wanted) is holds
