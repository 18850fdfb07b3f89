"""Run a migration that was just written, there and back, in the shadow database that it was written for."""

from collections.abc import Iterable
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from infra.config.settings import function_schema
from schema.errors import MigrationError
from schema.migration.apply.guard import driver_of
from schema.migration.batching import BatchingConnection
from schema.migration.diff.rls.catalog import run_script
from schema.migration.files import reason_of, shortened, sqlstate_of


def rehearse(connection: Connection, script: Script, done: Iterable[str]) -> None:
    """Run both ways of a new migration. `done` undoes what it does itself.

    Raises:
        MigrationError: names the way and the statement, and what to do.
    """
    connection.rollback()
    run_script(connection, [*done, "SELECT"])
    connection.commit()
    try:
        _run(connection, script)
    finally:
        connection.rollback()


def _run(connection: Connection, script: Script) -> None:
    """Run both ways, the statements together; where one fails, one by one: only then it is known which."""
    driver = driver_of(connection)
    if isinstance(driver, BatchingConnection):
        try:
            with driver.batch_ddl():
                _there_and_back(connection, script)
        except MigrationError:
            connection.rollback()
        else:
            return
    _there_and_back(connection, script)


def _there_and_back(connection: Connection, script: Script) -> None:
    """Run both ways in one transaction, which nobody has to wait for to be written to disk."""
    opts = {"version_table_schema": function_schema(), "transaction_per_migration": True}
    context = MigrationContext.configure(connection, opts=opts)
    with context.begin_transaction(_per_migration=True) as transaction, Operations.context(context):
        for name in ("upgrade", "downgrade"):
            try:
                getattr(script.module, name)()
                connection.exec_driver_sql("SELECT")  # what waits to be sent fails here
            except Exception as error:
                written = Path(script.path)
                failure = _failure(written, name, error)
                raise MigrationError(failure, files=(written.name,), sqlstate=sqlstate_of(error)) from error
        if transaction is not None:
            transaction.rollback()


def _failure(written: Path, name: str, error: Exception) -> str:
    said = shortened(error.statement or "") if isinstance(error, DBAPIError) else ""
    at = f" At: {said}." if said else ""
    return (
        f"{name}() of {written.name} fails: {reason_of(error)}.{at} It was tried in a shadow database, and the file is "
        "not kept. Change the models, or write that step by hand in a migration of `invoke generate --empty` and "
        "generate the rest after it."
    )
