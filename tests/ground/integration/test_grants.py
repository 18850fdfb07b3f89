"""Rights that a model declares: what the application may do with a table, written, compared and checked like policies.

The kind: a table of which the application may not do everything, such as an audit log, a list that it only reads, or a
column that never changes.
"""

from collections.abc import Sequence
from contextlib import closing
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Column, MetaData, String, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from infra.config.settings import Role
from schema.client.connection import connect
from schema.errors import TenancyError
from schema.isolation.finding import judge
from schema.isolation.probe.run import probe
from schema.isolation.reading import read
from schema.isolation.rules import RULES
from schema.tenancy.base import Base
from schema.tenancy.mixin import TenantMixin, refuse_unsafe
from schema.tenancy.policies import Grants, grants
from tests.ground.integration.conftest import Scratch
from tests.kit.drift import Drift
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

STATEMENTS: dict[str, LiteralString] = {
    "SELECT": "SELECT 1 FROM entries",
    "INSERT": "INSERT INTO entries (tenant_id, id, note) VALUES (app.tenant_id(), 9, 'new')",
    "UPDATE id": "UPDATE entries SET id = id",
    "UPDATE note": "UPDATE entries SET note = note",
    "DELETE": "DELETE FROM entries",
}
APPEND_ONLY = grants("SELECT", "INSERT")
CASES = {
    "append-only": (APPEND_ONLY, ["SELECT", "INSERT"]),
    "read only": (grants("SELECT"), ["SELECT"]),
    "nothing": (grants(), []),
    "one column": (grants("SELECT", update=["note"]), ["SELECT", "UPDATE note"]),
    "all but one": (
        grants("SELECT", "INSERT", "DELETE", update_except=["id"]),
        ["SELECT", "INSERT", "UPDATE note", "DELETE"],
    ),
}


def entries(declared: MetaData, rights: Grants) -> Table:
    """Declare a tenant table with these rights."""

    class Product(DeclarativeBase):
        metadata = declared
        type_annotation_map = Base.type_annotation_map

    class Entry(TenantMixin, Product):
        __tablename__ = "entries"
        __grants__ = rights

        id: Mapped[int] = mapped_column(primary_key=True)
        note: Mapped[str]

    return declared.tables["entries"]


def allowed(scratch: Scratch, stack: RunningStack) -> list[str]:
    """Return what the application may do, by doing it in a tenant's context."""
    found = []
    with closing(connect(stack.url(Role.USER).on(scratch.url.database), stack.settings)) as user:
        for name, statement in STATEMENTS.items():
            try:
                user.execute(f"SET LOCAL app.tenant_id = '{uuid4()}'".encode())
                user.execute(statement)
                found.append(name)
            except psycopg.errors.InsufficientPrivilege:
                pass
            except psycopg.errors.ForeignKeyViolation:  # it was let in, and there is no such tenant
                found.append(name)
            user.rollback()
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_application_may_do_what_is_declared(
    case: str, scratch: Scratch, declared: MetaData, stack: RunningStack
) -> None:
    """A new table has the rights of its model and no others; nothing is pending then, and no rule is broken."""
    rights, may = CASES[case]
    entries(declared, rights)
    scratch.generate("Add entries", declared)
    scratch.upgrade()
    assert allowed(scratch, stack) == may
    assert scratch.generate("Nothing", declared) is None
    assert [str(found) for found in judge(read(scratch.connection), RULES) if "entries" in str(found)] == []


@pytest.mark.parametrize("case", ["append-only", "one column"])
def test_a_table_with_fewer_rights_is_attacked_like_any(
    case: str, scratch: Scratch, declared: MetaData, stack: RunningStack
) -> None:
    """What the application may not even do to its own rows is no finding of the attacks."""
    entries(declared, CASES[case][0])
    scratch.generate("Add entries", declared)
    scratch.upgrade()
    user = stack.url(Role.USER).on(scratch.url.database)
    assert probe(scratch.url, user, scratch.settings, {}, lambda _: None).findings == ()


@pytest.mark.parametrize("former", CASES)
@pytest.mark.parametrize("wanted", ["append-only", "one column", "all but one"])
def test_changed_rights_are_migrated_both_ways(former: str, wanted: str, drift: Drift, declared: MetaData) -> None:
    """Whatever they were: the next comparison writes what is declared, and its downgrade what was."""
    table = entries(declared, CASES[former][0])
    drift.upgrade(drift.generate(declared))
    before = drift.objects
    table.info["application_grants"] = CASES[wanted][0]
    script = drift.generate(declared)
    drift.upgrade(script)
    assert pending(drift, declared) == []
    drift.downgrade(script)
    assert drift.objects == before


@pytest.mark.parametrize(
    "damage",
    [
        "GRANT UPDATE, DELETE ON entries TO app_user",
        "GRANT UPDATE (id) ON entries TO app_user",
        "REVOKE INSERT ON entries FROM app_user",
        "REVOKE UPDATE (note) ON entries FROM app_user",
        "GRANT UPDATE (note) ON entries TO app_user WITH GRANT OPTION",
    ],
)
def test_other_rights_are_generated_away(damage: str, drift: Drift, declared: MetaData) -> None:
    """A right that is not declared goes, one that is missing comes, and what a REVOKE takes along is given again."""
    entries(declared, grants("SELECT", "INSERT", update=["note"]))
    drift.upgrade(drift.generate(declared))
    sound = drift.objects
    drift.execute(damage)
    assert pending(drift, declared) != []
    drift.upgrade(drift.generate(declared))
    assert drift.objects == sound


def test_a_column_that_is_added_may_be_updated_unless_it_is_named(drift: Drift, declared: MetaData) -> None:
    """Rights on all columns but some follow the table, and a column that is dropped leaves none behind."""
    table = entries(declared, grants("SELECT", update_except=["id"]))
    drift.upgrade(drift.generate(declared))
    before = drift.objects
    table.append_column(Column("title", String))
    script = drift.generate(declared)
    drift.upgrade(script)
    assert pending(drift, declared) == []
    assert ("title",) in {tuple(row) for row in drift.connection.exec_driver_sql(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'entries'::regclass AND attacl::text LIKE '%%app_user=w/%%'"
    )}  # fmt: skip
    drift.downgrade(script)
    assert drift.objects == before


def pending(drift: Drift, declared: MetaData) -> Sequence[object]:
    """Return what a comparison would write."""
    script = drift.generate(declared)
    assert script.upgrade_ops is not None
    found: Sequence[object] = script.upgrade_ops.as_diffs()
    return found


@pytest.mark.parametrize(
    ("rights", "told"),
    [
        (grants("TRUNCATE"), "not for the application"),
        (grants("select"), "not for the application"),
        (grants("SELECT", update=["nothing"]), "nothing, which is no column"),
        (grants("UPDATE", update=["note"]), "says twice"),
        (grants(update=["note"], update_except=["id"]), "says twice"),
    ],
)
def test_rights_that_cannot_be_granted_are_refused(rights: Grants, told: str, declared: MetaData) -> None:
    """When the models are configured, with the table and what to write."""
    with pytest.raises(TenancyError, match=f"entries: .*{told}"):
        refuse_unsafe([entries(declared, rights)])
