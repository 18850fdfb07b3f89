"""The product's fixtures, as its tests have them, and the one connection on a database that a test may change."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from schema.client.connection import BoundedConnection, connect
from tests.kit.one_connection import OneConnection
from tests.kit.one_dialect import engine_on
from tests.kit.product import Database, stack, tenant

__all__ = ["stack", "tenant"]


@pytest.fixture
def owner(database: Database) -> Iterator[BoundedConnection]:
    """Give the owner's connection to the test's own database, in autocommit."""
    with connect(database.owner, database.settings, autocommit=True) as connection:
        yield connection


@pytest.fixture
def shared(database: Database) -> Iterator[OneConnection]:
    """Give a connection that stands for a test's, on a database of which the owner sees what stays."""
    made = OneConnection(lambda: database.user, database.settings)
    yield made
    made.close()


@pytest.fixture
def on_one(shared: OneConnection, database: Database) -> Engine:
    """Give the engine on that connection."""
    return engine_on(shared, database.user, database.settings)
