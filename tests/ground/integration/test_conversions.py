"""A change of a column's type is a loss where a row would not keep its value: found, named and refused, both ways.

The kind: whatever PostgreSQL converts without a word and that cannot be turned back into what it was. It is looked for
by converting each value as the statement would, there and back, in the rows of all tenants.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.config.settings import AppEnv, SslMode
from schema.client.connection import connect
from schema.errors import MigrationError
from schema.migration.apply import guard
from schema.migration.apply.data_loss import find_loss
from schema.migration.apply.destructive_sql import losses
from schema.migration.apply.guard import Guard
from schema.migration.apply.upgrade import plan
from tests.ground.integration.conftest import HEAD, Scratch
from tests.kit.checkout import Checkout
from tests.kit.errors import about

pytestmark = pytest.mark.one_backend

UTC = "AT TIME ZONE 'UTC'"
SECONDS = "make_interval(secs => extract(epoch FROM v))"

# A type, values that the change keeps, values that it does not, and the change.
CASES: dict[str, tuple[str, list[str], list[str], str]] = {
    "fewer digits behind the point": ("numeric(12,4)", ["1.5", "NaN"], ["1.005"], "numeric(12,2)"),
    "digits in an array": ("numeric[]", ["{1.50,NULL}"], ["{1.005}"], "numeric(12,2)[]"),
    "numeric to integer": ("numeric", ["2", "-3.0"], ["2.5"], "integer"),
    "float to integer": ("double precision", ["2"], ["0.1"], "bigint USING v::bigint"),
    "double to real": ("double precision", ["0.5", "NaN", "Infinity"], ["0.1"], "real"),
    "numeric to double": ("numeric", ["0.1"], ["12345678901234567890.5"], "double precision"),
    "integer to real": ("integer", ["16777216"], ["16777217"], "real"),
    "bigint to double": ("bigint", ["9007199254740992"], ["9007199254740993"], "double precision"),
    "instant to day": ("timestamptz", ["2026-03-01 00:00+00"], ["2026-03-01 00:00+01"], "date"),
    "instant to UTC's day": ("timestamptz", ["2026-03-01+00"], ["2026-03-01+01"], f"date USING (v {UTC})::date"),
    "instant to time": ("timestamptz", [], ["2026-03-01 10:00+00"], "time"),
    "time stamp to another zone": ("timestamp", ["2026-03-01 10:00"], [], f"timestamptz USING v {UTC}"),
    "to whole seconds": ("timestamptz", ["2026-03-01 10:00:01+00"], ["2026-03-01 10:00:01.5+00"], "timestamptz(0)"),
    "zone of a time": ("timetz", ["10:00+00"], ["10:00+02"], "time"),
    "span to its days": ("interval", ["3 days"], ["3 days 01:00"], "interval day"),
    "months to seconds": ("interval", ["90 seconds"], ["1 mon"], f"interval USING {SECONDS}"),
    "cut text": ("text", ["abc"], ["abcdef"], "varchar(3) USING v::varchar(3)"),
    "blanks at the end": ("text", ["abc"], ["abc  "], "char(5)"),
    "short name": ("text", ["abc"], ["n" * 64], "name"),
    "text to number": ("text", ["7", "-1"], ["007"], "integer USING v::integer"),
    "letters in one case": ("text", ["abc"], ["ABC"], "text USING lower(v)"),
    "cut bits": ("bit(8)", [], ["10101010"], "bit(4) USING v::bit(4)"),
    "number to yes or no": ("integer", ["0", "1"], ["2"], "boolean USING v::boolean"),
    "host to net": ("inet", ["10.0.0.0/8"], ["10.0.0.1/8"], "cidr"),
    "a key twice": ("json", ['{"b": 1, "a": 2}'], ['{"a": 1, "a": 2}'], "jsonb"),
    "an object to its field": ("jsonb", [], ['{"a": 1, "b": 2}'], "jsonb USING v->'a'"),
    "box to its middle": ("box", [], ["(1,1),(0,0)"], "point USING v::point"),
    "nothing to something": ("integer", ["1"], ["NULL"], "integer USING coalesce(v, 0)"),
    "something to nothing": ("integer", ["NULL"], ["1"], "bigint USING NULL::bigint"),
    "labels to fewer": ("mood", ["ok"], ["sad"], "mood USING CASE v WHEN 'sad' THEN 'ok' ELSE v END"),
    "a domain": ("price", ["1.00"], ["1.01"], "integer"),
    "text to number that fails": ("text", ["a"], [], "integer USING v::integer"),
    "range that fails": ("bigint", ["3000000000"], [], "integer"),
    "no cast": ("integer", ["1"], [], "uuid"),
    "wider": ("varchar(3)", ["abc"], [], "varchar(5)"),
    "number to text": ("numeric(5,2)", ["1.50"], [], "text"),
}  # fmt: skip


@pytest.fixture(scope="module")
def kinds() -> str:
    """Give what makes the types of the cases."""
    return "CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE DOMAIN price AS numeric(8,2) CHECK (value > 0)"


def test_what_a_conversion_does_not_keep_is_counted(scratch: Scratch, kinds: str) -> None:
    """Exactly the rows whose value does not come back, of any type, also where the statement would fail: none then."""
    connection = scratch.connection
    connection.execute(kinds.encode())
    connection.execute("SET TimeZone = 'UTC'")
    for name, (former, kept, other, change) in CASES.items():
        connection.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t (id int, v {former})".encode())
        for value in (*kept, *other):
            connection.execute("INSERT INTO t (v) VALUES (%s)", [None if value == "NULL" else value])
        (loss,) = losses(f"ALTER TABLE t ALTER COLUMN v TYPE {change}")
        said = find_loss(connection, loss)
        rows = f"{len(other)} row{'s' if len(other) > 1 else ''}"
        wanted = f"changes the type of t.v to {loss.type}, which does not keep the values of {rows}" if other else None
        assert said == wanted, name
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (len(kept) + len(other),)


MAKE = """op.execute('CREATE TABLE prices (tenant_id uuid, amount numeric(12,4), day timestamptz)')
    op.execute('ALTER TABLE prices ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
    op.execute('CREATE POLICY p ON prices USING (tenant_id = app.tenant_id())')"""
WIDE = "op.alter_column('prices', 'amount', type_=sa.Numeric(12, 4))"
NARROW = "op.alter_column('prices', 'amount', type_=sa.Numeric(12, 2))"
TO_DAYS = "ALTER COLUMN day SET DATA TYPE date USING day::date"
BOTH = f"op.execute('ALTER TABLE prices ALTER amount TYPE numeric(12,2), {TO_DAYS}')"
WAYS = {
    "Alembic's own": (NARROW, ["prices.amount"]),
    "several in one": (BOTH, ["prices.amount", "prices.day"]),
    "with a live connection": (
        "op.get_bind().exec_driver_sql('ALTER TABLE prices ALTER amount TYPE int')",
        ["prices.amount"],
    ),
    "under another name": (
        "op.rename_table('prices', 'p'); op.execute('ALTER TABLE p ALTER amount TYPE int')",
        ["p.amount"],
    ),
}


def fill(scratch: Scratch) -> None:
    """Give each of two tenants a price that only four digits hold."""
    for _ in range(2):
        with scratch.connection.transaction():
            scratch.connection.execute("SELECT set_config('app.tenant_id', gen_random_uuid()::text, true)")
            scratch.connection.execute("INSERT INTO prices VALUES (app.tenant_id(), 1.0051, '2026-03-01 10:00+00')")


def everything(scratch: Scratch) -> list[tuple[str, str]]:
    """Return all rows, whoever's they are."""
    with scratch.connection.transaction(force_rollback=True):
        scratch.connection.execute("ALTER TABLE prices NO FORCE ROW LEVEL SECURITY")
        return scratch.connection.execute("SELECT amount::text, day::text FROM prices").fetchall()


def write(scratch: Scratch, body: str, downgrade: str = "pass", number: int = 9999) -> Path:
    """Add a migration that may name types of SQLAlchemy's."""
    path = scratch.write(body, downgrade, number, HEAD if number == 9999 else "9999")
    path.write_text(
        path.read_text().replace("from alembic import op\n", "from alembic import op\nimport sqlalchemy as sa\n")
    )
    return path


@pytest.mark.parametrize(("way", "columns"), WAYS.values(), ids=WAYS)
def test_a_narrowing_upgrade_is_refused(scratch: Scratch, way: str, columns: list[str]) -> None:
    """With table, column and the rows of all tenants; nothing is changed, and whoever gives that up may go on."""
    write(scratch, MAKE)
    scratch.upgrade()
    fill(scratch)
    before, objects = everything(scratch), scratch.objects
    write(scratch, way, number=99999)
    with pytest.raises(MigrationError) as refused:
        scratch.upgrade()
    for column in columns:
        assert f"it changes the type of {column} to " in str(refused.value)
    assert str(refused.value).count("does not keep the values of 2 rows") == len(columns)
    assert "--allow-data-loss" in str(refused.value)
    assert (scratch.at, scratch.objects, everything(scratch)) == (("9999",), objects, before)
    scratch.upgrade(allow_data_loss=True)
    assert scratch.at == ("99999",)


def test_a_narrowing_downgrade_is_refused(scratch: Scratch) -> None:
    """What a wider type took in is not rounded on the way back, unless that is asked for."""
    write(scratch, f"{MAKE}\n    {NARROW}")
    write(scratch, WIDE, NARROW, number=99999)
    scratch.upgrade()
    fill(scratch)
    before = everything(scratch)
    with pytest.raises(MigrationError, match=r"prices\.amount to NUMERIC\(12, 2\), .* values of 2 rows.*--allow-data"):
        scratch.rollback()
    assert (scratch.at, everything(scratch)) == (("99999",), before)
    scratch.rollback(allow_data_loss=True)
    assert {amount for amount, _ in everything(scratch)} == {"1.01"}


def test_rows_that_fit_are_let_through(scratch: Scratch) -> None:
    """A narrower type that holds what is there is no loss, and neither is a statement that fails by itself."""
    write(scratch, MAKE)
    scratch.upgrade()
    fill(scratch)
    scratch.connection.execute("ALTER TABLE prices NO FORCE ROW LEVEL SECURITY")
    scratch.connection.execute("UPDATE prices SET amount = 1.25")
    path = write(scratch, "op.execute('ALTER TABLE prices ALTER amount TYPE uuid')", number=99999)
    with pytest.raises(MigrationError, check=about(sqlstate="42804")):
        scratch.upgrade()
    path.unlink()
    write(scratch, NARROW, number=99999)
    scratch.upgrade()
    assert {amount for amount, _ in everything(scratch)} == {"1.25"}


def test_the_plan_names_what_would_be_lost(scratch: Scratch) -> None:
    """With the count of rows as they are now, and only where one would be another; nothing is changed."""
    write(scratch, MAKE)
    scratch.upgrade()
    write(scratch, BOTH, number=99999)

    def foreseen() -> tuple[str, ...]:
        (step,) = plan(scratch.url, scratch.settings, checkout=scratch.checkout)
        return step.losses

    assert foreseen() == ()
    fill(scratch)
    objects = scratch.objects
    assert foreseen() == (
        "changes the type of prices.amount to numeric(12,2), which does not keep the values of 2 rows",
        "changes the type of prices.day to date, which does not keep the values of 2 rows",
    )
    assert scratch.objects == objects


def test_production_asks_for_both_words(scratch: Scratch) -> None:
    """Where rows would not keep their values, the database's name is asked for as well; a wider type asks for none."""
    production = replace(scratch.settings, app_env=AppEnv.PRODUCTION, database_sslmode=SslMode.PREFER)
    write(scratch, f"{MAKE}\n    {NARROW}\n    {WIDE}")
    live = replace(scratch, settings=production)
    live.upgrade()
    fill(scratch)
    write(scratch, NARROW, number=99999)
    with pytest.raises(
        MigrationError,
        match=r"(?s)This is production .*2 rows.*--confirm-database=.*\nData would be lost: .*--allow-data-loss",
    ):
        live.upgrade()
    with pytest.raises(MigrationError, match=r"2 rows\. To give that data up"):
        live.upgrade(guard=Guard(confirm_database=scratch.url.database))
    with pytest.raises(MigrationError, match=r"This is production .*2 rows"):
        live.upgrade(allow_data_loss=True)
    live.upgrade(guard=Guard(confirm_database=scratch.url.database), allow_data_loss=True)
    assert scratch.at == ("99999",)


@pytest.mark.parametrize(
    "tables",
    [
        "CREATE TABLE t (v numeric) PARTITION BY LIST (v); CREATE TABLE part PARTITION OF t DEFAULT",
        "CREATE TABLE t (v numeric); CREATE TABLE part () INHERITS (t)",
    ],
    ids=["partitions", "children"],
)
def test_rows_of_partitions_and_children_count(scratch: Scratch, tables: str) -> None:
    """What PostgreSQL changes, drops or empties along with a table is looked at with it."""
    scratch.connection.execute(f"{tables}; INSERT INTO part VALUES (1.5)".encode())
    for statement in ("DROP TABLE t", "ALTER TABLE t DROP v", "ALTER TABLE t ALTER v TYPE int", "TRUNCATE t"):
        (loss,) = losses(statement)
        assert "1 row" in (find_loss(scratch.connection, loss) or ""), statement


def test_plain_alembic_is_held_to_it_as_well(commands: Checkout, scratch: Scratch) -> None:
    """`alembic upgrade` refuses the same, and `-x allow-data-loss=yes` lets it."""

    def alembic(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "alembic", "-x", f"confirm-database={scratch.url.database}", *words],
            cwd=commands.path,
            env=commands._environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    write(scratch, MAKE)
    scratch.upgrade()
    fill(scratch)
    write(scratch, NARROW, number=99999)
    refused = alembic("upgrade", "head")
    assert refused.returncode != 0
    assert "does not keep the values of 2 rows" in refused.stdout + refused.stderr
    assert scratch.at == ("9999",)
    assert alembic("-x", "allow-data-loss=yes", "upgrade", "head").returncode == 0
    assert scratch.at == ("99999",)


def test_what_cannot_be_read_is_said(scratch: Scratch) -> None:
    """A block that may convert values is refused as well: nobody knows beforehand which."""
    write(scratch, MAKE)
    scratch.upgrade()
    write(scratch, "op.execute('DO $$ BEGIN ALTER TABLE prices ALTER amount TYPE int; END $$')", number=99999)
    with pytest.raises(
        MigrationError, match=r"may convert values: a DO block .* cannot be determined\. .*--allow-data-loss"
    ):
        scratch.upgrade()
    assert scratch.at == ("9999",)
    scratch.upgrade(allow_data_loss=True)
    assert scratch.at == ("99999",)


def test_no_row_comes_between_the_look_and_the_change(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the rows are looked at for the last time, the migration holds the table, and keeps it."""
    write(scratch, MAKE)
    scratch.upgrade()
    fill(scratch)
    write(scratch, WIDE.replace("12, 4", "12, 5"), number=99999)
    held: list[object] = []

    def looked(*arguments: Any, **options: Any) -> str | None:
        said = find_loss(*arguments, **options)
        locks = "SELECT pid FROM pg_locks WHERE relation = 'prices'::regclass AND mode = 'AccessExclusiveLock'"
        held.append(scratch.connection.execute(locks).fetchone())
        return said

    monkeypatch.setattr(guard, "find_loss", looked)
    scratch.upgrade()
    assert held[0] is None
    assert held[1] is not None


@pytest.mark.slow
def test_a_table_that_is_in_use_is_looked_at_again(scratch: Scratch) -> None:
    """Who holds it is named in the end, as for any lock; when it is free, what would be lost is refused."""
    write(scratch, MAKE)
    scratch.upgrade()
    fill(scratch)
    write(scratch, NARROW, number=99999)
    with connect(scratch.url, scratch.settings) as other:
        other.execute("LOCK TABLE prices IN ACCESS SHARE MODE")
        with pytest.raises(MigrationError, match="2 attempts", check=about(blockers=(other.info.backend_pid,))):
            scratch.upgrade()
    with pytest.raises(
        MigrationError, check=lambda error: all("does not keep the values of 2 rows" in each for each in error.changes)
    ):
        scratch.upgrade()
