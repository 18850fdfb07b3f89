"""Every change of a model becomes a migration that makes it, keeps the rows and can be taken back."""

from typing import Any

import pytest
from sqlalchemy import Computed, Identity, Integer, Sequence, Text, Uuid
from sqlalchemy.exc import DBAPIError

from schema.errors import MigrationError
from tests.ground.integration.autogenerate.changes import (
    CHANGES,
    INVOKER,
    MOOD,
    Change,
    N,
    check,
    column,
    declared,
    mood,
    several,
    table,
    view,
)
from tests.ground.integration.autogenerate.domain_changes import DOMAINS
from tests.ground.integration.autogenerate.enum_changes import ENUMS
from tests.ground.integration.autogenerate.expression_changes import EXPRESSIONS
from tests.ground.integration.autogenerate.generated_changes import GENERATED
from tests.ground.integration.autogenerate.key_changes import KEYS
from tests.ground.integration.autogenerate.numbered_changes import NUMBERED, serial
from tests.ground.integration.autogenerate.order_changes import ORDER
from tests.ground.integration.autogenerate.reported_changes import REPORTED
from tests.ground.integration.autogenerate.type_changes import TYPES
from tests.ground.integration.autogenerate.written_changes import WRITTEN
from tests.kit.cases import Cases
from tests.kit.errors import about

pytestmark = pytest.mark.one_backend

EVERY = CHANGES | DOMAINS | ENUMS | EXPRESSIONS | GENERATED | KEYS | NUMBERED | ORDER | REPORTED | TYPES | WRITTEN


@pytest.mark.parametrize("change", EVERY.values(), ids=EVERY)
def test_a_change_is_seen_made_and_taken_back(change: Change, cases: Cases) -> None:
    """The catalogue becomes what SQLAlchemy itself makes, nothing is left to generate, and both ways keep the rows."""
    before, after = declared(change.before), declared(change.after)
    wanted = cases.make(after)
    cases.run(cases.generate(before).upgrade)
    cases.execute(*change.rows)
    former, rows = cases.catalogue, cases.ask(change.kept)
    assert rows

    written = cases.generate(after)
    assert not written.is_empty
    cases.run(written.upgrade)
    assert cases.shape == wanted
    assert cases.ask(change.kept) == rows
    assert cases.generate(after).is_empty

    cases.run(written.downgrade)
    assert cases.catalogue == former
    assert cases.ask(change.kept) == rows
    assert cases.generate(before).is_empty


def test_a_serial_that_becomes_an_identity_goes_on_counting(cases: Cases) -> None:
    """No number is given twice, neither afterwards nor when it is taken back."""
    cases.run(cases.generate(declared(serial(Integer))).upgrade)
    cases.execute("INSERT INTO s DEFAULT VALUES", "INSERT INTO s DEFAULT VALUES")
    written = cases.generate(declared(serial(Integer, Identity())))
    cases.run(written.upgrade)
    cases.execute("INSERT INTO s DEFAULT VALUES")
    cases.run(written.downgrade)
    cases.execute("INSERT INTO s DEFAULT VALUES")
    assert [number for (number,) in cases.ask("SELECT id FROM s ORDER BY 1")] == [1, 2, 3, 4]


def test_a_serial_that_becomes_text_keeps_what_was_counted(cases: Cases) -> None:
    """Its sequence cannot be of that type, and is left as it is."""
    cases.run(cases.generate(declared(serial(Integer))).upgrade)
    cases.execute("INSERT INTO s DEFAULT VALUES")
    cases.run(cases.generate(declared(serial(Text))).upgrade)
    assert cases.ask("SELECT id, pg_typeof(id)::text FROM s") == [("1", "text")]


@pytest.mark.parametrize(
    ("options", "rows", "numbers"),
    [
        ({}, "(1, 1), (2, 70000)", [70001, 70002]),
        ({"start": 100000}, "(1, 1), (2, 7)", [100000, 100001]),
        ({"increment": -5}, "(1, -3), (2, 7)", [-4, -9]),
        ({"always": True, "increment": 10}, "(1, 11)", [12, 22]),
        ({}, "", [1, 2]),
    ],
)
def test_a_new_identity_counts_from_beyond_its_rows(
    options: dict[str, Any], rows: str, numbers: list[int], cases: Cases
) -> None:
    """No number is given out that a row has, whichever way it counts; without rows it starts as declared."""
    cases.run(cases.generate(declared(table(column("n", Integer, nullable=False)))).upgrade)
    cases.execute(*([f"INSERT INTO t (id, n) VALUES {rows}"] if rows else []))
    written = cases.generate(declared(table(column("n", Integer, lambda: Identity(**options)))))
    cases.run(written.upgrade)
    cases.execute("INSERT INTO t (id) VALUES (8)", "INSERT INTO t (id) VALUES (9)")
    assert [number for (number,) in cases.ask("SELECT n FROM t WHERE id > 7 ORDER BY id")] == numbers


def test_a_type_without_a_cast_is_named(cases: Cases) -> None:
    """PostgreSQL knows no way from an integer to a uuid, so nothing is written and the column is named."""
    before, after = declared(table(N)), declared(table(column("n", Uuid)))
    cases.run(cases.generate(before).upgrade)
    with pytest.raises(
        MigrationError, match=r"^t\.n changes from integer to uuid, and PostgreSQL has no cast .* USING"
    ):
        cases.generate(after)


def test_adding_an_enum_value_rewrites_no_table(cases: Cases) -> None:
    """The table keeps its file, and the value is committed before the statements that use it."""
    before = declared(table(MOOD))
    after = declared(table(column("m", mood("ok", "new", "sad"), server_default="new")))
    cases.run(cases.generate(before).upgrade)
    files = cases.ask("SELECT relfilenode FROM pg_class WHERE oid = 't'::regclass")
    written = cases.generate(after).upgrade
    cases.run(written)
    assert cases.ask("SELECT relfilenode FROM pg_class WHERE oid = 't'::regclass") == files
    assert written.index("autocommit_block") < written.index("ADD VALUE") < written.index("SET DEFAULT")


def test_a_row_with_the_value_stops_its_removal(cases: Cases) -> None:
    """No row is changed or lost to make an enum type fit: the migration fails and leaves all as it was."""
    before, after = declared(table(MOOD)), declared(table(column("m", mood("ok"))))
    cases.run(cases.generate(before).upgrade)
    cases.execute("INSERT INTO t VALUES (1, 'sad')")
    former = cases.shape
    with pytest.raises(DBAPIError, check=about(sqlstate="22P02")):
        cases.run(cases.generate(after).upgrade)
    cases.connection.rollback()
    assert cases.shape == former


def test_a_dropped_and_added_column_is_said(cases: Cases) -> None:
    """The reviewer reads in the file why a generated column goes and comes back."""
    before = declared(table(N, column("m", Integer, lambda: Computed("n * 2", persisted=True))))
    after = declared(table(N, column("m", Integer, lambda: Computed("n * 3", persisted=True))))
    cases.run(cases.generate(before).upgrade)
    assert "# t.m cannot be changed in place: it is dropped and added again" in cases.generate(after).upgrade


def test_a_changed_check_is_written_as_alembic_writes_one(cases: Cases) -> None:
    """A reviewer reads an operation on the constraint, both ways."""
    former, wanted = (declared(table(N, check(rf"n::text <> '\:{word}'"))) for word in ("a", "b"))
    cases.run(cases.generate(former).upgrade)
    written = cases.generate(wanted)
    for code in (written.upgrade, written.downgrade):
        assert "op.drop_constraint(op.f('ck_t_c'), 't', type_='check')" in code
        assert "op.create_check_constraint(" in code
        assert "op.execute" not in code


def test_the_application_may_use_what_is_declared_for_it(cases: Cases) -> None:
    """It may use a sequence and a view that runs as its caller; a view that runs as the owner is not for it."""
    both = several(
        table(N), view("n > 0", **INVOKER), view("n > 1", name="hidden"), lambda m: Sequence("s", metadata=m)
    )
    cases.run(cases.generate(declared(both)).upgrade)
    rights = cases.ask("""
        SELECT has_table_privilege('app_user', 'v', 'SELECT'), has_table_privilege('app_user', 'hidden', 'SELECT'),
               has_sequence_privilege('app_user', 's', 'USAGE')
    """)
    assert rights == [(True, False, True)]
