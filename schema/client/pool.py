"""The pools of the application's engines: what is asked for while all connections are in use ends in a clear error."""

from typing import Any

from sqlalchemy import AsyncAdaptedQueuePool, QueuePool
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from infra.config.urls import DatabaseUrl
from schema.errors import DatabaseUnavailable


class BoundedPool(QueuePool):
    """A pool that says what is full, and what to do."""

    url: DatabaseUrl

    def recreate(self) -> "BoundedPool":
        """Return a new, empty pool like this one."""
        made: Any = super().recreate()
        made.url = self.url
        return made  # type: ignore[no-any-return]  # SQLAlchemy makes one of this class

    def _do_get(self) -> ConnectionPoolEntry:
        try:
            return super()._do_get()
        except PoolTimeout as error:
            raise self._full() from error

    def _full(self) -> DatabaseUnavailable:
        url, size = self.url, self.size()
        return DatabaseUnavailable(
            f"No connection to database {url.database!r} at {url.host}:{url.port} as {url.user} came free within "
            f"{self.timeout():g} s: {size} of {size} in this process's pool are in use. End each session and "
            "connection with its block, or raise DATABASE_POOL_BUDGET, which DATABASE_PROCESSES processes share.",
            transient=True,
            host=url.host,
            port=url.port,
            database=url.database,
            role=url.user,
        )


class BoundedAsyncPool(BoundedPool, AsyncAdaptedQueuePool):
    """The same under asyncio."""
