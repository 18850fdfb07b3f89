"""One psycopg connection under asyncio: made with retries up to a deadline, bounded in every wait."""

from collections.abc import Mapping
from time import monotonic
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.rows import TupleRow
from tenacity import AsyncRetrying

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import (
    Bounded,
    InheritedConnection,
    against_the_environment,
    arguments,
    no_answer,
    refuse_other_version,
    retry_policy,
    unavailable,
)
from schema.client.leftovers import WatchingAsyncCursor, WatchingAsyncServerCursor
from schema.client.role_check import refuse_bypass_async


class BoundedAsyncConnection(Bounded, psycopg.AsyncConnection[TupleRow]):
    """psycopg's connection for asyncio, bounded in every wait."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory, self.server_cursor_factory = WatchingAsyncCursor, WatchingAsyncServerCursor

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait as psycopg does; a server that does not answer in time loses the connection."""
        if self.inherited:
            raise InheritedConnection
        self.asked_at = started = monotonic()
        limit = self.answer_timeout if timeout is None else None
        try:
            return await super().wait(gen, interval, timeout if limit is None else limit)
        except psycopg.OperationalError as error:
            if limit is None or self.closed or monotonic() - started < limit:
                raise
            await self.close()
            raise no_answer(limit) from error

    async def commit(self) -> None:
        """Commit as psycopg does, past `leftovers.commit_transaction`: what was set for the session stays."""
        self.leaves = True
        await super().commit()

    async def rollback(self) -> None:
        """Roll back; a child has nothing to roll back on its parent's connection."""
        if not self.inherited:
            await super().rollback()


async def connect(url: DatabaseUrl, settings: Settings, parameters: Mapping[str, str]) -> BoundedAsyncConnection:
    """Connect, retrying as `schema.client.connection.connect` does.

    Raises:
        DatabaseUnavailable: the deadline passed, or the server refused for good.
    """
    give_up_at = monotonic() + settings.database_connect_deadline.total_seconds()

    async def attempt() -> BoundedAsyncConnection:
        remaining = min(settings.database_connect_timeout.total_seconds(), give_up_at - monotonic())
        try:
            connection = await BoundedAsyncConnection.connect(**arguments(url, settings, parameters, remaining))
            if statement := against_the_environment():
                await connection.execute(statement)
                await connection.commit()
                connection.reset += f";{statement}".encode()
        except psycopg.Error as error:
            raise unavailable(url, error) from error
        refuse_other_version(url, connection)
        return connection

    connection: BoundedAsyncConnection = await AsyncRetrying(**retry_policy(url, settings))(attempt)
    return connection


async def connect_checked(
    url: DatabaseUrl, settings: Settings, parameters: Mapping[str, str]
) -> BoundedAsyncConnection:
    """Connect as a role that row level security holds.

    Raises:
        DatabaseUnavailable: the deadline passed, or the server refused for good.
        RoleBypassesIsolation: row level security does not hold the role.
    """
    connection = await connect(url, settings, parameters)
    try:
        await connection.set_autocommit(True)
        await refuse_bypass_async(connection, url)
        await connection.set_autocommit(False)
    except BaseException:
        await connection.close()
        raise
    return connection
