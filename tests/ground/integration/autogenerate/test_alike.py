"""Tables that are what they are declared to be are not compared any further."""

import pytest
from sqlalchemy import Computed, Identity, Integer, MetaData, Table, Text, UniqueConstraint, text

from schema.migration.diff.snapshots import SchemaSnapshots
from schema.models import metadata
from tests.ground.integration.autogenerate.changes import N, check, column, declared, index, table
from tests.kit.cases import Cases

pytestmark = pytest.mark.one_backend

SAID = declared(
    table(
        N,
        column("twice", Integer, lambda: Computed("n * 2", persisted=True), comment="it's"),
        column("number", Integer, lambda: Identity(always=True, increment=5)),
        column("name", Text, nullable=False, server_default="a"),
        check("n > 0"),
        lambda: UniqueConstraint("n", "name"),
        index("ix_name", "name"),
        index("ix_n", "n", postgresql_where=text("n > 1")),
        comment="one",
    )
)


@pytest.mark.parametrize("models", [metadata, SAID], ids=["product", "of every kind"])
def test_nothing_is_compared_where_all_is_as_declared(models: MetaData, cases: Cases) -> None:
    """Neither a table nor the schema is shown to Alembic, so a comparison costs little where little has changed."""
    cases.run(cases.generate(models).upgrade)
    sides = SchemaSnapshots()
    sides.read(cases.connection, models)
    shown = [name for name in sides.actual.tables if sides.include_name(name, "table", {})]
    assert (shown, sides.include_name(None, "schema", {})) == ([], False)


def test_a_table_that_nobody_declares_is_seen(cases: Cases) -> None:
    """One table that is no longer declared is gone, whatever else is as it was."""
    cases.run(cases.generate(SAID).upgrade)
    cases.execute("CREATE TABLE nobodys ()")
    assert "drop_table('nobodys')" in cases.generate(SAID).upgrade


def test_a_table_of_another_schema_is_no_other_of_its_name(cases: Cases) -> None:
    """A declared table elsewhere that has the name of one in public is left as Alembic finds it."""
    cases.run(cases.generate(SAID).upgrade)
    models = declared(table(N))
    Table("t", models, schema="elsewhere")
    sides = SchemaSnapshots()
    sides.read(cases.connection, SAID)
    assert sides.include_object(models.tables["elsewhere.t"], "t", "table", False, None)
