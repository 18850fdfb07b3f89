"""One psycopg connection under asyncio: made with retries up to a deadline, bounded in every wait."""

from collections.abc import Mapping
from math import ceil
from time import monotonic

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.rows import TupleRow
from tenacity import AsyncRetrying

from infra.settings import Settings
from infra.urls import DatabaseUrl
from schema.bypass import refuse_bypass_async
from schema.connect import Bounded, arguments, no_answer, retry_policy, unavailable


class BoundedAsyncConnection(Bounded, psycopg.AsyncConnection[TupleRow]):
    """psycopg's connection for asyncio, bounded in every wait."""

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait as psycopg does; a server that does not answer in time loses the connection."""
        self.asked_at = started = monotonic()
        limit = self.answer_timeout if timeout is None else None
        try:
            return await super().wait(gen, interval, timeout if limit is None else limit)
        except psycopg.OperationalError as error:
            if limit is None or self.closed or monotonic() - started < limit:
                raise
            await self.close()
            raise no_answer(limit) from error


async def connect_held(url: DatabaseUrl, settings: Settings, parameters: Mapping[str, str]) -> BoundedAsyncConnection:
    """Connect as a role that row level security holds, retrying as `schema.connect.connect` does.

    Raises:
        DatabaseUnavailable: the deadline passed, or the server refused for good.
        RoleBypassesIsolation: row level security does not hold the role.
    """
    give_up_at = monotonic() + settings.database_connect_deadline.total_seconds()

    async def attempt() -> BoundedAsyncConnection:
        remaining = min(settings.database_connect_timeout.total_seconds(), give_up_at - monotonic())
        try:
            return await BoundedAsyncConnection.connect(
                autocommit=True, **arguments(url, settings, parameters), connect_timeout=max(1, ceil(remaining))
            )
        except psycopg.Error as error:
            raise unavailable(url, error) from error

    connection: BoundedAsyncConnection = await AsyncRetrying(**retry_policy(url, settings))(attempt)
    try:
        await refuse_bypass_async(connection, url)
        await connection.set_autocommit(False)
    except BaseException:
        await connection.close()
        raise
    return connection
