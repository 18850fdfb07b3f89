"""The engines of the application and of maintenance under asyncio."""

from functools import partial

from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.asyncio import create_async_engine as sqlalchemy_create_async_engine

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.aio.connection import connect, connect_checked
from schema.client.dialect import DRIVER
from schema.client.engine import (
    PLAIN_DRIVER,
    common_options,
    equip_application,
    equip_maintenance,
    pool_options,
    timeouts,
)
from schema.client.pool import BoundedAsyncPool


def maintenance_engine(url: DatabaseUrl, settings: Settings) -> AsyncEngine:
    """Return the engine of the maintenance role for asyncio: for `maintenance_session` alone.

    Statements end after DATABASE_STATEMENT_TIMEOUT, and no connection is kept.
    """
    engine = sqlalchemy_create_async_engine(
        async_creator=partial(connect, url, settings, timeouts(settings)),
        poolclass=NullPool,
        **common_options(url, settings, PLAIN_DRIVER),
    )
    equip_maintenance(engine.sync_engine, url)
    return engine


def create_async_engine(url: DatabaseUrl, settings: Settings) -> AsyncEngine:
    """Return the application's engine for asyncio; it promises and raises what `schema.client.create_engine` does.

    One event loop uses it, and disposes of it before it ends.
    """
    engine = sqlalchemy_create_async_engine(
        async_creator=partial(connect_checked, url, settings, timeouts(settings)),
        poolclass=BoundedAsyncPool,
        **pool_options(settings),
        **common_options(url, settings, DRIVER),
    )
    equip_application(engine.sync_engine, url, settings)
    return engine
