"""MigrationSession tenants' data in a migration. Migrations import this module, and it imports no model.

FORCE ROW LEVEL SECURITY binds the owner: without a tenant its statements raise, or on an empty table touch nothing. So
a migration says for whom a statement runs:

    from schema.migration.helpers.tenants import for_each_tenant

    def upgrade() -> None:
        op.add_column("users", sa.Column("nickname", sa.Text()))
        for_each_tenant(op.get_bind(), "UPDATE users SET nickname = split_part(email, '@', 1)")

A large table is changed in batches that are committed one by one, so that no row is locked for long. The statement
chooses at most `:batch` rows that are still to be done, and is run until none are left; the columns are added by the
migration before:

    with op.get_context().autocommit_block():
        for_each_tenant(
            op.get_bind(),
            \"\"\"
            UPDATE users SET nickname = split_part(email, '@', 1)
            WHERE id IN (SELECT id FROM users WHERE nickname IS NULL LIMIT :batch)
            \"\"\",
        )

Such a migration that was interrupted goes on where it stopped when it is run again.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from uuid import UUID

from sqlalchemy import Connection, text

from schema.admin.whole_tenant import HIDING, hidden_rows

_BATCH = re.compile(r"(?<!:):batch\b")
_WORD = re.compile(r"\w+")
_INTERVAL = 1.0  # seconds


def _write(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def for_each_tenant(
    connection: Connection, statement: str, *, batch: int = 5_000, say: Callable[[str], None] = _write
) -> int:
    """Run a data statement as each tenant in turn, and return the number of rows that it touched.

    A statement that names `:batch` is run until it touches no row: it must choose at most that many rows, and none
    that it has already changed. Inside an autocommit block each run is a transaction of its own, outside they are part
    of the migration's. `say` is called about once a second with the progress.

    Raises:
        RuntimeError: something hides rows of a tenant from the owner in a table that the statement names.
    """
    tenants, total, told = tenant_ids(connection), 0, monotonic()
    if tenants:
        _refuse_hidden(connection, statement)
    for number, tenant in enumerate(tenants, 1):
        for touched in _runs(connection, tenant, statement, batch):
            total += touched
            if monotonic() - told >= _INTERVAL:
                say(f"tenant {number} of {len(tenants)}: {total} rows")
                told = monotonic()
    say(f"{len(tenants)} tenants: {total} rows")
    return total


def tenant_ids(connection: Connection) -> tuple[UUID, ...]:
    """Return the ids of all tenants, as the directory knows them: the owner sees no row of `tenants` without a context.

    No lock is taken that a query would wait for.
    """
    with _transaction(connection):
        found = connection.execute(text("SELECT tenant_id FROM public.tenant_directory ORDER BY tenant_id"))
        return tuple(found.scalars().all())


def _refuse_hidden(connection: Connection, statement: str) -> None:
    """Refuse a statement on a table of which something hides rows of a tenant from the owner, who would skip them."""
    with _transaction(connection):
        found = connection.execute(text(HIDING)).all()
    words = set(_WORD.findall(statement.lower()))
    hidden = hidden_rows(cause for table, cause in found if words.issuperset(_WORD.findall(table.lower())))
    if hidden:
        raise RuntimeError(hidden)


@contextmanager
def as_tenant(connection: Connection, tenant: UUID) -> Iterator[None]:
    """Run a block's statements as one tenant; inside an autocommit block it is a transaction of its own."""
    with _transaction(connection):
        # SET takes no bound parameter; the text is that of a uuid.
        connection.exec_driver_sql(f"SET LOCAL app.tenant_id = '{UUID(str(tenant))}'")
        yield
        connection.exec_driver_sql("SET LOCAL app.tenant_id = ''")


def _runs(connection: Connection, tenant: UUID, statement: str, batch: int) -> Iterator[int]:
    batched = bool(_BATCH.search(statement))
    while True:
        with as_tenant(connection, tenant):
            touched = connection.execute(text(statement), {"batch": batch} if batched else {}).rowcount
        yield max(touched, 0)
        if not batched or touched <= 0:
            return


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    below = connection.connection.dbapi_connection
    if below is None or not connection.dialect.detect_autocommit_setting(below):
        yield
        return
    connection.exec_driver_sql("BEGIN")
    try:
        yield
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")
