"""What a forked child inherits and may not use: connections, and the pools of engines that hold them.

A child shares its parent's sockets. Whatever it sends or reads there is part of its parent's transactions, a Terminate
message too, so it neither uses nor closes them (SQLAlchemy manual, Using Connection Pools with Multiprocessing).
"""

import os
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

if TYPE_CHECKING:  # what connects without an engine does not pay for SQLAlchemy
    from sqlalchemy import Engine
    from sqlalchemy.pool import ConnectionPoolEntry


class Disownable(Protocol):
    """Something that a child process gives up."""

    def disown(self) -> None:
        """Refuse every further use, in the child."""


_connections: WeakSet[Any] = WeakSet()
_engines: "WeakSet[Engine]" = WeakSet()


def disown_in_children(connection: Disownable) -> None:
    """Have a connection disowned in each process that is forked from now on."""
    _connections.add(connection)


def renew_in_children(engine: "Engine") -> None:
    """Have an engine start with an empty pool in each process that is forked from now on."""
    _engines.add(engine)


def _begin_child() -> None:
    for connection in _connections:
        connection.disown()
    for engine in _engines:
        _replace_pool(engine)


def _replace_pool(engine: "Engine") -> None:
    """Give an engine a new pool; a thread that the child does not have may hold a lock of the inherited one.

    What was checked out when the process was forked is not returned there, and takes no place in the new one.
    """
    from sqlalchemy import event  # it is loaded, since there is an engine

    inherited: Any = engine.pool
    inherited._do_return_conn = _leave  # noqa: SLF001 - what a kind of pool overrides
    engine.dispose(close=False)
    event.listen(inherited, "reset", _give_up)


def _leave(_record: "ConnectionPoolEntry") -> None:
    """Return a connection to no pool."""


def _give_up(_connection: Any, record: "ConnectionPoolEntry | None", _state: object) -> None:
    """Detach a connection that a child gives back, so that nothing is set back on it."""
    if record is not None:
        record.invalidate()


os.register_at_fork(after_in_child=_begin_child)
