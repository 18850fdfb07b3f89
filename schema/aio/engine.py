"""The application's engine under asyncio."""

from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.asyncio import create_async_engine as sqlalchemy_create_async_engine

from infra.settings import Settings
from infra.urls import DatabaseUrl
from schema.aio.connect import connect_held
from schema.dialect import DRIVER, forget_tenants
from schema.engine import bound_waits, common_options, equip, pool_options, timeouts


def create_async_engine(url: DatabaseUrl, settings: Settings) -> AsyncEngine:
    """Return the application's engine for asyncio; it promises and raises what `schema.engine.create_engine` does.

    One event loop uses it, and disposes of it before it ends.
    """
    engine = sqlalchemy_create_async_engine(
        async_creator=partial(connect_held, url, settings, timeouts(settings)),
        **pool_options(settings),
        **common_options(url, settings, DRIVER),
    )
    forget_tenants(engine.sync_engine)
    equip(engine.sync_engine, url, settings)
    bound_waits(engine.sync_engine, settings)
    return engine
