"""Connections in use, each in another state, for a process that forks while it has one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text, update

from infra.config.settings import Role
from schema.client.connection import connect
from schema.client.engine import maintenance_engine
from schema.client.session import maintenance_session, tenant_connection, tenant_session
from schema.migration.engine import owner_engine
from schema.models.tenants import Tenant
from tests.kit.stack import RunningStack

SEEN = text("SELECT tenant_id FROM tenants")


@dataclass
class Held:
    """A connection that is in use when its process forks; `ask` sends a statement and returns its answer."""

    ask: Callable[[str], Any]
    commit: Callable[[], object]
    rollback: Callable[[], object]
    close: Callable[[], object]


@contextmanager
def idle_between_transactions(engine: Engine, tenant: UUID, _: RunningStack) -> Iterator[Held]:
    """Check a connection out, and have it in no transaction."""
    with tenant_connection(engine, tenant) as c:
        c.execute(SEEN)
        c.commit()
        yield Held(lambda query: c.scalar(text(query)), c.commit, c.rollback, c.close)


@contextmanager
def in_a_transaction(engine: Engine, tenant: UUID, _: RunningStack) -> Iterator[Held]:
    """Write something, and commit it later."""
    with tenant_connection(engine, tenant) as c:
        c.execute(update(Tenant).values(name="Beta"))
        yield Held(lambda query: c.scalar(text(query)), c.commit, c.rollback, c.close)


@contextmanager
def in_a_session(engine: Engine, tenant: UUID, _: RunningStack) -> Iterator[Held]:
    """Write something with the ORM, and commit it later."""
    with tenant_session(engine, tenant) as s:
        s.execute(update(Tenant).values(name="Beta"))
        yield Held(lambda query: s.scalar(text(query)), s.commit, s.rollback, s.close)


@contextmanager
def in_the_middle_of_a_stream(engine: Engine, tenant: UUID, _: RunningStack) -> Iterator[Held]:
    """Read from a cursor of the server's."""
    with tenant_connection(engine, tenant) as c:
        rows = c.execute(
            text("SELECT tenant_id FROM tenants, generate_series(1, 9)"),
            execution_options={"stream_results": True, "max_row_buffer": 1},
        )
        rows.fetchone()
        yield Held(lambda query: c.scalar(text(query)), c.commit, c.rollback, c.close)
        rows.close()


@contextmanager
def raw(engine: Engine, *_: Any) -> Iterator[Held]:
    """Use psycopg's own connection."""
    c = engine.raw_connection()
    c.cursor().execute("SELECT 1")

    def ask(query: str) -> Any:
        cursor = c.cursor()
        cursor.execute(query)
        return cursor.fetchone()[0]  # type: ignore[index]  # there is one

    yield Held(ask, c.commit, c.rollback, c.close)
    c.close()


@contextmanager
def maintaining(_engine: Engine, _tenant: UUID, stack: RunningStack) -> Iterator[Held]:
    """Read across tenants."""
    engine = maintenance_engine(stack.url(Role.MAINTENANCE), stack.settings)
    with maintenance_session(engine, reason="a test") as s:
        s.execute(SEEN)
        yield Held(lambda query: s.scalar(text(query)), s.commit, s.rollback, s.close)


@contextmanager
def migrating(_engine: Engine, _tenant: UUID, stack: RunningStack) -> Iterator[Held]:
    """Be the owner, whose connection defers definitions."""
    with owner_engine(stack.url(Role.OWNER), stack.settings).connect() as c:
        c.execute(text("SELECT 1"))
        yield Held(lambda query: c.scalar(text(query)), c.commit, c.rollback, c.close)


@contextmanager
def psycopgs(_engine: Engine, _tenant: UUID, stack: RunningStack) -> Iterator[Held]:
    """Connect without SQLAlchemy, as commands do."""
    with connect(stack.url(Role.OWNER), stack.settings) as c:
        c.execute("SELECT 1")
        yield Held(lambda query: c.execute(query.encode()).fetchone()[0], c.commit, c.rollback, c.close)  # type: ignore[index]  # there is one


STATES = [
    idle_between_transactions,
    in_a_transaction,
    in_a_session,
    in_the_middle_of_a_stream,
    raw,
    maintaining,
    migrating,
    psycopgs,
]
