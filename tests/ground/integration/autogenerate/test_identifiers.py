"""Names as long as PostgreSQL keeps them are migrated and seen again; longer ones never reach a file."""

import pytest
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, MetaData, Table

from schema.errors import TenancyError
from schema.tenancy.base import NAMING_CONVENTION
from tests.kit.cases import Cases

pytestmark = pytest.mark.one_backend

LONGEST = "ä" * 31 + "n"


def declared(name: str) -> MetaData:
    """Return what declares a table, a column, a constraint and an index of one name, but for its last letters."""
    metadata = MetaData(naming_convention={kind: NAMING_CONVENTION[kind] for kind in ("pk", "fk")})
    Table(
        name[:-1] + "t",
        metadata,
        Column(name, Integer, primary_key=True, autoincrement=False),
        CheckConstraint(f'"{name}" > 0', name=name[:-1] + "c"),
        Index(name[:-1] + "i", name),
    )
    Table("u", metadata, Column(name, Integer, ForeignKey(f"{name[:-1]}t.{name}"), primary_key=True))
    return metadata


def test_the_longest_names_are_seen_again(cases: Cases) -> None:
    """63 bytes of less than 63 characters: nothing is left to generate once they are made, and it can be taken back."""
    written = cases.generate(declared(LONGEST))
    cases.run(written.upgrade)
    assert cases.generate(declared(LONGEST)).is_empty
    assert cases.ask("SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == [(1,)]
    cases.run(written.downgrade)
    assert cases.shape == []


def test_longer_names_are_refused_by_generate(cases: Cases) -> None:
    """Of tables that no model is mapped to as well: nothing is written, and the length is named."""
    with pytest.raises(TenancyError, match=rf"the column '{LONGEST}n' has a name of 64 bytes"):
        cases.generate(declared(LONGEST + "n"))
