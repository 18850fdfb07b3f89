"""The SQLAlchemy engine of the owner, for migrations."""

from sqlalchemy import Engine, event

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.engine import explain_disconnects, unpooled
from schema.client.forks import renew_in_children
from schema.migration.batching import BatchingConnection
from schema.migration.settings import pin


def owner_engine(url: DatabaseUrl, settings: Settings) -> Engine:
    """Return an engine for migrations: one connection at a time, statements of any length, short waits for locks.

    A lock that is waited for blocks every later query on that table, and a server whose client died should not go
    on holding locks (PostgreSQL manual, 20.3.3: client_connection_check_interval). What a statement means does not
    depend on the client or the role (`schema.migration.settings`). Its connections are not logged: it serves commands,
    which say what they do.
    """
    parameters = {"statement_timeout": "0", "lock_timeout": "5s", "client_connection_check_interval": "250ms"}
    engine = unpooled(url, settings, parameters, BatchingConnection)
    event.listen(engine, "connect", lambda connection, _: pin(connection))
    explain_disconnects(engine, url)
    renew_in_children(engine)
    return engine
