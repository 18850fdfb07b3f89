"""Servers of other versions than those that the product is tested on."""

import asyncio

import pytest

from infra.config.settings import Role
from schema.client import connection
from schema.client.aio.connection import connect as connect_async
from schema.client.connection import connect
from schema.errors import DatabaseUnavailable
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend


@pytest.mark.parametrize("asynchronous", [False, True])
def test_another_version_is_refused_by_name(
    asynchronous: bool, stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first connection, before any statement could fail for it, and for good."""
    monkeypatch.setattr(connection, "POSTGRES_VERSIONS", (9, 10))
    with pytest.raises(DatabaseUnavailable, match=r"is PostgreSQL \d\d; 9 and 10 are supported") as refused:
        if asynchronous:
            asyncio.run(connect_async(stack.url(Role.USER), stack.settings, {}))
        else:
            connect(stack.url(Role.USER), stack.settings)
    assert not refused.value.transient
