"""Servers of other versions than those that the product is tested on."""

import asyncio
from collections.abc import Callable

import pytest

from infra.config.settings import Role, Settings
from infra.config.urls import DatabaseUrl
from schema.client import connection
from schema.client.aio.connection import connect as connect_async
from schema.client.connection import connect
from schema.errors import DatabaseUnavailable
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend


def _asynchronously(url: DatabaseUrl, settings: Settings) -> None:
    asyncio.run(connect_async(url, settings, {}))


@pytest.mark.parametrize("attempt", [connect, _asynchronously])
def test_another_version_is_refused_by_name(
    attempt: Callable[[DatabaseUrl, Settings], object], stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first connection, before any statement could fail for it, and for good."""
    monkeypatch.setattr(connection, "POSTGRES_VERSIONS", (9, 10))
    with pytest.raises(DatabaseUnavailable, match=r"is PostgreSQL \d\d; 9 and 10 are supported") as refused:
        attempt(stack.url(Role.USER), stack.settings)
    assert not refused.value.transient
