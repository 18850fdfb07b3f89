"""A connection that sends definitions together: each waits until something is asked that has an answer.

A migration's thousands of CREATE and GRANT would wait for the server one by one. PostgreSQL runs the statements of one
message as it runs them one after the other (manual, 55.2.2.1), and in a transaction none of them is done before all.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any, Self, cast

import psycopg
from psycopg.abc import RV, PQGen

from schema.client.connection import BoundedConnection

_MOST = 200
"""Statements in one message: a failure is reported, and a signal handled, soon enough."""
_DEFINITION = re.compile(r"\s*(?:CREATE|ALTER|DROP|COMMENT|GRANT|REVOKE)\b", re.IGNORECASE)


class BatchingConnection(BoundedConnection):
    """A connection that defers definitions within `with connection.together():`, and is like any other outside of it.

    Whatever else it is asked, a commit among that, it sends them first, so a later statement sees their effect. Where
    one fails, what was asked fails. In autocommit nothing is deferred.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lock = cast(Any, RLock())  # whoever waits holds it, and what is deferred goes before
        self._deferred: list[str] = []

    @contextmanager
    def batch_ddl(self) -> Iterator[None]:
        """Defer definitions for a block."""
        before, self.cursor_factory = self.cursor_factory, _DeferringCursor
        try:
            yield
        finally:
            self.cursor_factory = before

    def defer(self, statement: str) -> None:
        """Keep a statement until something is asked."""
        self._deferred.append(statement)
        if len(self._deferred) >= _MOST:
            self.send()

    def send(self) -> None:
        """Run what was deferred."""
        deferred, self._deferred = self._deferred, []
        if deferred:
            psycopg.Cursor(self).execute("\n;\n".join(deferred).encode())

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait as any connection, for what was deferred first."""
        self.send()
        return super().wait(gen, interval, timeout)

    def rollback(self) -> None:
        """Roll back; what was deferred need not be run."""
        self._deferred.clear()
        super().rollback()


class _DeferringCursor(psycopg.Cursor[Any]):
    """Defers the definitions that it is given."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Defer a definition, and run all else."""
        connection = self.connection
        plain = isinstance(query, str) and not params and "%" not in query and _DEFINITION.match(query)
        if not plain or connection.autocommit or not isinstance(connection, BatchingConnection):
            return super().execute(query, params, **options)
        connection.defer(query)
        return self
