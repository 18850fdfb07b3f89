"""What `generate` writes says why it may: a lint of its own files is no finding, and no lint is one of isolation.

The kind: whatever is safe, was asked for, or cannot be written otherwise carries its reason; what a person has to
decide does not, and ends `check` with the code of migrations.
"""

from itertools import product
from typing import Any

import psycopg
import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Enum,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

from infra.config.settings import Role
from schema.errors import IsolationError, MigrationError
from schema.isolation.check import check
from schema.isolation.formats import text
from schema.isolation.report import Report
from schema.migration.generate.reasons import holds_in_place
from schema.migration.lint.check import check_migrations
from tests.ground.integration.conftest import Scratch
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend


def things(declared: MetaData, *, later: bool, name: str = "name") -> MetaData:
    """Declare a table as it is at first, or later."""
    if "things" in declared.tables:
        declared.remove(declared.tables["things"])

    def when(first: TypeEngine[Any], then: TypeEngine[Any]) -> TypeEngine[Any]:
        return then if later else first

    Table(
        "things",
        declared,
        Column("id", Integer(), primary_key=True),
        Column(name, when(String(20), String(40)), server_default="x"),
        Column("code", when(String(20), Text())),
        Column("amount", when(Numeric(10, 2), Numeric(12, 2))),
        Column("mood", when(Enum("a", name="mood"), Enum("a", "b", name="mood"))),
        Column("tone", when(Enum("a", "b", name="tone"), Enum("a", name="tone")), server_default="a"),
        Column("size", Integer()),
        Column("twice", Integer(), Computed(f"size * {3 if later else 2}", persisted=True)),
        *(() if later else (Column("gone", Text()), Index("ix_things_code", "code"))),
        UniqueConstraint("code", *((name,) if later else ()), name="uq_things_code"),
        CheckConstraint(f"size > {1 if later else 0}", name="size"),
    )
    return declared


def test_what_is_generated_says_why_it_may(scratch: Scratch, declared: MetaData) -> None:
    """Only what scans the table or makes others wait for it is left for a person to decide."""
    scratch.generate("Add things", things(declared, later=False))
    path = scratch.generate("Change things", things(declared, later=True), allow_drop=True)
    assert path is not None
    left = {finding.rule for finding in check_migrations([path], ())}
    assert left == {"constraint-missing-not-valid", "disallowed-unique-constraint"}
    scratch.upgrade()
    scratch.rollback(1)
    scratch.upgrade()
    assert scratch.generate("Nothing", declared) is None


def test_a_renamed_column_says_that_it_was_asked_for(scratch: Scratch, declared: MetaData) -> None:
    """The option is the reason."""
    scratch.generate("Add things", things(declared, later=False))
    things(declared, later=False, name="label")
    path = scratch.generate("Rename", declared, renames=("things.name:label",))
    assert path is not None
    assert check_migrations([path], ()) == ()


TYPES = (
    "varchar(10)", "varchar(20)", "varchar", "text", "numeric(8,2)", "numeric(10,2)", "numeric(10,4)", "numeric",
    "bit varying(4)", "bit varying(8)", "bit varying", "timestamp(3)", "timestamp(6)", "timestamp", "timestamptz(3)",
    "timestamptz", "time(3)", "time", "interval(2)", "interval", "cidr", "inet", "char(4)", "char(8)",
    "integer", "bigint",
)  # fmt: skip


def test_no_row_is_rewritten_where_the_reason_says_so(scratch: Scratch) -> None:
    """Of all pairs of types, the table keeps its file in each that is called a change in place."""
    execute = scratch.connection.execute
    held = 0
    for former, wanted in product(TYPES, repeat=2):
        execute(f"CREATE TABLE t (c {former})".encode())
        question = "SELECT format_type(atttypid, atttypmod), pg_relation_filenode('t') FROM pg_attribute "
        question += "WHERE attrelid = 't'::regclass AND attname = 'c'"
        was, before = execute(question.encode()).fetchall()[0]
        try:
            execute(f"ALTER TABLE t ALTER COLUMN c TYPE {wanted}".encode())
        except psycopg.errors.DatatypeMismatch:
            assert not holds_in_place(former, wanted)
        else:
            now, after = execute(question.encode()).fetchall()[0]
            if was != now and holds_in_place(was, now):
                held += 1
                assert before == after, (was, now)
        execute("DROP TABLE t")
    assert held > 15


def report(scratch: Scratch, stack: RunningStack) -> Report:
    """Check the database, as `invoke check` does."""
    user = stack.url(Role.USER).on(scratch.url.database)
    return check(scratch.url, user, scratch.settings, checkout=scratch.checkout)


def test_where_tenants_are_kept_apart_the_code_is_that_of_migrations(scratch: Scratch, stack: RunningStack) -> None:
    """5 where only a lint is left, 6 as soon as isolation is broken as well."""
    scratch.write(
        "op.create_index('ix_users_mail', 'users', ['tenant_id', 'email'])\n"
        "    op.create_index('ix_users_mail2', 'users', ['tenant_id', 'email'])"
    )
    scratch.upgrade()
    found = report(scratch, stack)
    assert [finding.object for finding in found.findings] == ["9999_by_hand.py:12,13"]
    assert text.render(found).endswith(": isolated")
    with pytest.raises(MigrationError, check=about(files=("9999_by_hand.py",))):
        found.require()
    scratch.connection.execute("ALTER TABLE users NO FORCE ROW LEVEL SECURITY")
    broken = report(scratch, stack)
    with pytest.raises(
        IsolationError,
        match="1 finding with 1 more that follow",
        check=lambda error: "row-security-not-forced" in error.rules,
    ):
        broken.require()
    assert "isolated" not in text.render(broken)
