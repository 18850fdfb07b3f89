"""What isolation costs an application, timed inside one process.

A transaction of a tenant is held against a bare one that reads the same row of a table without row level security, and
a query under row level security against the same query on the twin, both with the tenant in their WHERE as the ORM
adds it. The ORM's case is the whole of it: a session of a tenant against a session that has to say the tenant itself.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import sqlalchemy
from psycopg.sql import SQL, Identifier
from sqlalchemy import Engine, QueuePool, select
from sqlalchemy.orm import Session

from schema.client.connection import BoundedConnection, connect
from schema.client.dialect import begin_transaction
from schema.client.engine import bound_waits, create_engine, equip, pool_options, timeouts
from schema.client.session import tenant_connection, tenant_session
from tests.ground.benchmarks.cases import Case, Side, Suite, Target
from tests.ground.benchmarks.commands import Work
from tests.ground.benchmarks.tenant_tables import TENANT, Customer, PlainCustomer, Tables, make_tables
from tests.kit.availability import embedded_lacks

_TRANSACTIONS = 400
_AT_LEAST = Target(1 / 0.95)  # 0.95x of the other's rate

# Each with how often it is run for one sample, and its target.
_QUERIES = {
    "rls-point-read": ("SELECT * FROM {invoices} WHERE tenant_id = %(tenant)s AND id = %(invoice)s", 400, 1.05),
    "rls-newest-20": (
        "SELECT * FROM {invoices} WHERE tenant_id = %(tenant)s ORDER BY created_at DESC LIMIT 20",
        400,
        1.05,
    ),
    "rls-insert": (
        "INSERT INTO {invoices} (tenant_id, customer_id, number) VALUES (%(tenant)s, %(customer)s, 7)",
        400,
        1.05,
    ),
    "rls-join": (
        """
        SELECT * FROM {lines} l
        JOIN {invoices} i ON (i.tenant_id, i.id) = (l.tenant_id, l.invoice_id)
        JOIN {customers} c ON (c.tenant_id, c.id) = (i.tenant_id, i.customer_id)
        WHERE l.tenant_id = %(tenant)s AND i.tenant_id = %(tenant)s AND c.tenant_id = %(tenant)s
          AND l.invoice_id = %(invoice)s
        """,
        400,
        1.05,
    ),
    "rls-heap-filter": (
        "SELECT count(*) FROM {invoices} WHERE tenant_id = %(tenant)s AND number < 10",
        20,
        1.2,
    ),
}
_TABLES = ("customers", "invoices", "lines")
_TRANSACTION_CASES = tuple(
    f"tenant-{client}-{at_once}" for client in ("psycopg", "connection", "orm") for at_once in (1, 8)
)

Transaction = Callable[[], object]


def _set_up(undo: ExitStack) -> tuple[Case, ...]:
    tables = make_tables(undo)
    return (*_transaction_cases(tables, undo), *_query_cases(tables, undo))


def _transaction_cases(tables: Tables, undo: ExitStack) -> tuple[Case, ...]:
    ours, bare = create_engine(tables.user, tables.settings), _bare_engine(tables)
    undo.callback(ours.dispose)
    undo.callback(bare.dispose)
    pairs: dict[str, Callable[[], tuple[Transaction, Transaction]]] = {
        "psycopg": lambda: _psycopg_pair(tables, undo),
        "connection": lambda: _connection_pair(tables, ours, bare),
        "orm": lambda: _orm_pair(tables, ours, bare),
    }
    return tuple(_transaction_case(name, pairs[name.split("-")[1]], int(name[-1])) for name in _TRANSACTION_CASES)


def _transaction_case(name: str, make: Callable[[], tuple[Transaction, Transaction]], at_once: int) -> Case:
    pairs = [make() for _ in range(at_once)]
    ours, bare = ([pair[which] for pair in pairs] for which in (0, 1))
    return Case(
        name,
        Side("a tenant's transaction", Work(partial(_all_at_once, ours, _TRANSACTIONS))),
        Side("a bare transaction", Work(partial(_all_at_once, bare, _TRANSACTIONS))),
        _AT_LEAST,
    )


def _all_at_once(transactions: list[Transaction], total: int) -> None:
    def work(transaction: Transaction) -> None:
        for _ in range(total // len(transactions)):
            transaction()

    with ThreadPoolExecutor(len(transactions)) as pool:
        list(pool.map(work, transactions))


def _psycopg_pair(tables: Tables, undo: ExitStack) -> tuple[Transaction, Transaction]:
    connection = undo.enter_context(connect(tables.user, tables.settings))
    question = "SELECT * FROM plain_customers WHERE tenant_id = %s AND id = %s"

    def bare() -> None:
        connection.execute(question, [TENANT, tables.customer]).fetchone()
        connection.commit()

    def ours() -> None:
        begin_transaction(connection, TENANT)
        bare()

    return ours, bare


def _connection_pair(tables: Tables, engine: Engine, plain: Engine) -> tuple[Transaction, Transaction]:
    row = (PlainCustomer.tenant_id == TENANT) & (PlainCustomer.id == tables.customer)
    question = select(PlainCustomer.__table__).where(row)

    def ours() -> None:
        with tenant_connection(engine, TENANT) as connection:
            connection.execute(question).one()

    def bare() -> None:
        with plain.connect() as connection:
            connection.execute(question).one()
            connection.commit()

    return ours, bare


def _orm_pair(tables: Tables, engine: Engine, plain: Engine) -> tuple[Transaction, Transaction]:
    def ours() -> None:
        with tenant_session(engine, TENANT) as session:
            session.scalars(select(Customer).where(Customer.id == tables.customer)).one()

    def bare() -> None:
        with Session(plain) as session:
            row = (PlainCustomer.tenant_id == TENANT) & (PlainCustomer.id == tables.customer)
            session.scalars(select(PlainCustomer).where(row)).one()
            session.commit()

    return ours, bare


def _bare_engine(tables: Tables) -> Engine:
    """Return an engine that differs from the application's in nothing but the tenant."""
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=partial(connect, tables.user, tables.settings, parameters=timeouts(tables.settings)),
        poolclass=QueuePool,
        **pool_options(tables.settings),
    )
    equip(engine, tables.user)
    bound_waits(engine, tables.settings)
    return engine


def _query_cases(tables: Tables, undo: ExitStack) -> tuple[Case, ...]:
    connection = undo.enter_context(connect(tables.user, tables.settings))
    values = {"tenant": TENANT, "customer": tables.customer, "invoice": tables.invoice}
    return tuple(
        Case(
            name,
            Side("under row level security", Work(partial(_repeat, connection, question, "bench_", values, times))),
            Side("an explicit WHERE alone", Work(partial(_repeat, connection, question, "plain_", values, times))),
            Target(most),
        )
        for name, (question, times, most) in _QUERIES.items()
    )


def _repeat(connection: BoundedConnection, question: str, prefix: str, values: dict[str, Any], times: int) -> None:
    """Run a query many times in one transaction of the tenant, which is rolled back."""
    query = SQL(question).format(**{name: Identifier(f"{prefix}{name}") for name in _TABLES})
    begin_transaction(connection, TENANT)
    for _ in range(times):
        connection.execute(query, values)
    connection.rollback()


SUITE = Suite((*_TRANSACTION_CASES, *_QUERIES), embedded_lacks, _set_up)
