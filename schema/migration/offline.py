"""Run a migration's operations without a server (Alembic manual: offline mode)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from alembic.migration import MigrationContext
from alembic.operations import Operations


class Stream(Protocol):
    """What the statements are written to."""

    def write(self, text: str, /) -> object:
        """Take a part of a statement, or a whole one."""

    def flush(self) -> None:
        """Hold nothing back."""


@contextmanager
def offline(stream: Stream, *, transactions: bool) -> Iterator[MigrationContext]:
    """Write the SQL of a block's operations to a stream, with `transactions` also where an autocommit block commits."""
    context = MigrationContext.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        opts={"as_sql": True, "literal_binds": True, "output_buffer": stream, "transactional_ddl": transactions},
    )
    with Operations.context(context):
        yield context
