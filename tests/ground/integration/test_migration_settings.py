"""What a migration's statements mean depends neither on who runs it nor from where, and stored instants are UTC's.

The kind: whatever libpq's environment, the role or the database say of a session and would change what is stored.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import ARRAY, Column, Date, DateTime, Integer, MetaData, Table, Time, text

from infra.config.settings import Role
from schema.client.aio.connection import connect_checked
from schema.client.connection import BoundedConnection, connect
from schema.client.engine import maintenance_engine
from schema.client.session import tenantless_connection
from schema.migration.apply.guard import driver_of
from schema.migration.apply.upgrade import script
from schema.migration.engine import owner_engine
from schema.migration.settings import SETTINGS
from tests.ground.integration.conftest import Scratch
from tests.kit.cases import Cases
from tests.kit.database import MakeEngine
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

FOREIGN = {"PGTZ": "Asia/Tokyo", "PGDATESTYLE": "SQL, DMY", "PGOPTIONS": "-c timezone=Asia/Tokyo -c search_path=evil"}
FOREIGN |= {"PGCLIENTENCODING": "LATIN1"}
OTHERWISE = {
    "TimeZone": "America/New_York",
    "DateStyle": "German",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "-5",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "search_path": "evil, public",
}
"""What a role may have been given, and other than what a migration is written for."""


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let libpq read an environment that is not the stack's."""
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)


@contextmanager
def otherwise(admin: BoundedConnection, where: str) -> Iterator[None]:
    """Give a role or a database settings of its own for a block."""
    for name, value in OTHERWISE.items():
        words = SQL(", ").join(map(Identifier, value.split(", "))) if name == "search_path" else SQL(f"'{value}'")
        admin.execute(SQL(f"ALTER {where} SET {name} = ") + words)
    try:
        yield
    finally:
        admin.execute(SQL(f"ALTER {where} RESET ALL"))


def settings_of(connection: Any, names: list[str]) -> dict[str, str]:
    """Return settings of a session."""
    rows = connection.execute("SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name", [names]).fetchall()
    return dict(rows)


@pytest.mark.usefixtures("foreign")
def test_every_session_is_in_utc_whatever_the_environment_says(make_engine: MakeEngine, stack: RunningStack) -> None:
    """The application's, under asyncio too, the maintenance role's and the owner's; DateStyle and encoding alike."""
    names = ["TimeZone", "DateStyle", "client_encoding", "search_path"]
    wanted = {"TimeZone": "UTC", "DateStyle": "ISO, MDY", "client_encoding": "UTF8", "search_path": '"$user", public'}

    async def under_asyncio() -> list[Any]:
        async with await connect_checked(stack.url(Role.USER), stack.settings, {}) as connection:
            question = "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name"
            return await (await connection.execute(question, [names])).fetchall()

    assert dict(asyncio.run(under_asyncio())) == wanted
    assert settings_of(make_engine().raw_connection().driver_connection, names) == wanted
    pooled = make_engine(database_pool_budget=1, database_processes=1)
    for statement in ("SET TimeZone = 'Europe/Madrid'", "LISTEN news", "SELECT 1"):
        with tenantless_connection(pooled) as served:
            question = "SELECT name, current_setting(name) FROM unnest(CAST(:names AS text[])) AS name"
            assert dict(map(tuple, served.execute(text(question), {"names": names}))) == wanted
            served.exec_driver_sql(statement)
    for role in (Role.MAINTENANCE, Role.OWNER):
        with connect(stack.url(role), stack.settings) as connection:
            assert settings_of(connection, names) == wanted
    engine = maintenance_engine(stack.url(Role.MAINTENANCE), stack.settings)
    assert settings_of(engine.raw_connection().driver_connection, names) == wanted


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize("where", ["ROLE app_owner", "DATABASE {}"])
def test_a_migration_means_the_same_whoever_runs_it(scratch: Scratch, admin: BoundedConnection, where: str) -> None:
    """Instants, dates, texts and tables are those of UTC, ISO and `public`, applied and printed as a script alike."""
    scratch.upgrade()
    admin.execute(f"GRANT CREATE ON DATABASE {scratch.url.database} TO app_owner".encode())
    scratch.connection.execute("CREATE SCHEMA evil")
    with otherwise(admin, where.format(scratch.url.database)):
        scratch.write(
            "op.execute(\"CREATE TABLE t AS SELECT '2026-03-01 12:00'::timestamptz AS at, '04/03/2026'::date AS day,"
            " interval '1 day 2h' || '' AS span, '\\\\x4142'::bytea::text AS raw, (0.1::float8 + 0.2)::text AS sum\")",
            "op.drop_table('t')",
        )
        printed = script(scratch.url, scratch.settings, checkout=scratch.checkout)
        with psycopg.connect(scratch.url.libpq(), autocommit=True) as connection:
            # The first statements decide how the rest is read, which psql sends one by one.
            settings, _, rest = printed.partition("BEGIN;")
            connection.execute(settings.encode())
            connection.execute(f"BEGIN;{rest}".encode())
        by_script = scratch.connection.execute("SELECT t::text FROM public.t").fetchall()
        scratch.rollback(allow_data_loss=True)
        scratch.upgrade()
    assert scratch.connection.execute("SELECT t::text FROM public.t").fetchall() == by_script
    row = scratch.connection.execute("SELECT extract(epoch FROM at), day::text, span, raw, sum FROM t").fetchone()
    assert row == (1772366400, "2026-04-03", "1 day 02:00:00", "\\x4142", "0.30000000000000004")


def test_the_owners_sessions_have_every_setting_that_counts(scratch: Scratch, admin: BoundedConnection) -> None:
    """The engine that migrations run on, and the connection that looks at rows beforehand."""
    with otherwise(admin, "ROLE app_owner"):
        engine = owner_engine(scratch.url, scratch.settings)
        with engine.connect() as connection:
            found = settings_of(driver_of(connection), list(SETTINGS))
            path = connection.execute(text("SHOW search_path")).scalar()
    assert found == SETTINGS
    assert path == "public, evil, public"


KINDS: dict[str, tuple[Any, str]] = {
    "timestamp": (DateTime(), "2026-03-29 02:30:00.123457"),
    "timestamptz": (DateTime(timezone=True), "2026-03-29 02:30:00.123457+00"),
    "date": (Date(), "2026-03-29"),
    "time": (Time(), "02:30:00.5"),
    "timetz": (Time(timezone=True), "02:30:00.5+00"),
    "timestamp[]": (ARRAY(DateTime()), "{2026-03-29 02:30:00,NULL}"),
    "timestamptz[]": (ARRAY(DateTime(timezone=True)), "{2026-03-29 02:30:00+00,NULL}"),
}
PAIRS = [
    ("timestamp", "timestamptz"),
    ("timestamptz", "timestamp"),
    ("date", "timestamptz"),
    ("timestamptz", "date"),
    ("time", "timetz"),
    ("timetz", "time"),
    ("timestamp[]", "timestamptz[]"),
    ("timestamptz[]", "timestamp[]"),
]
ONE_WAY = [("timestamptz", "time"), ("timestamptz", "timetz")]


def convert(cases: Cases, code: str, kind: str) -> None:
    """Run a migration in another zone than UTC; of arrays no expression can say it, so the session's zone counts."""
    zone = "UTC" if kind.endswith("[]") else "Asia/Tokyo"
    cases.run(f"op.execute(\"SET LOCAL TimeZone = '{zone}'\")\n    {code}")


@pytest.mark.parametrize(("former", "wanted"), [*PAIRS, *ONE_WAY])
def test_conversions_between_a_time_zone_and_none_are_made_in_utc(former: str, wanted: str, cases: Cases) -> None:
    """What is stored is what it is in UTC, there and back, whatever zone the session is in."""

    def declared(kind: str) -> MetaData:
        metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s"})
        Table("t", metadata, Column("id", Integer, primary_key=True), Column("at", KINDS[kind][0]))
        return metadata

    cases.run(cases.generate(declared(former)).upgrade)
    cases.execute(f"INSERT INTO t VALUES (1, '{KINDS[former][1]}')")
    there = cases.ask(f"SELECT at::{wanted}::text FROM t")
    written = cases.generate(declared(wanted))
    convert(cases, written.upgrade, former)
    assert cases.ask("SELECT at::text FROM t") == there
    if (former, wanted) in PAIRS:
        back = cases.ask(f"SELECT at::{former}::text FROM t")
        convert(cases, written.downgrade, former)
        assert cases.ask("SELECT at::text FROM t") == back
