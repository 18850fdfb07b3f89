"""Write the ledger while Alembic runs, also from plain `alembic` and into the script of `--sql`."""

import getpass
import os
import socket
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script
from alembic.util import to_tuple

from infra.config.ground import ground_version
from schema.migration.apply import ledger
from schema.migration.apply.guard import driver_of
from schema.migration.apply.ledger import File

_BY_SCRIPT = "a script"


def ignored(**_: Any) -> None:
    """Hear nothing."""


def recorder(then: Callable[..., None]) -> Callable[..., None]:
    """Return what Alembic calls as `on_version_apply`: after each migration, in its own transaction.

    It hands each message on to `then`, with the time that the migration took in `milliseconds`.
    What `alembic stamp` says has been applied was not, and is not entered.
    """
    started = monotonic()

    def record(*, ctx: MigrationContext, step: MigrationInfo, **more: Any) -> None:
        nonlocal started
        milliseconds = (monotonic() - started) * 1000
        if step.is_migration:
            _record(ctx, step, round(milliseconds))
        then(ctx=ctx, step=step, milliseconds=milliseconds, **more)
        started = monotonic()

    return record


def file_of(script: Script) -> File:
    """Read a migration's file."""
    path = Path(script.path)
    follows = tuple(str(revision) for revision in to_tuple(script.down_revision, default=()))
    return File(script.revision, path.name, follows, path.read_bytes())


def _record(context: MigrationContext, step: MigrationInfo, milliseconds: int) -> None:
    if not step.is_upgrade:
        statement = ledger.erased(step.up_revision_ids)
    else:
        script = step.revision_map.get_revision(step.up_revision_id)
        assert isinstance(script, Script)  # noqa: S101 - the map of a script directory holds scripts
        statement = ledger.recorded(
            file_of(script),
            milliseconds=None if context.as_sql else milliseconds,
            applied_by=_BY_SCRIPT if context.as_sql else f"{_user()}@{socket.gethostname()}",
            versions=_versions(),
        )
    if context.as_sql:
        for text in (ledger.CREATE, statement.as_string()):
            context.impl.static_output(f"{text};\n")
    elif context.connection is not None:
        connection = driver_of(context.connection)
        ledger.ensure(connection)
        connection.execute(statement)


def _user() -> str:
    """Return the name of this process's user, or its number: in a container it may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # KeyError before Python 3.13
        return str(os.getuid())


def _versions() -> str:
    return f"groundwork {ground_version()}, alembic {version('alembic')}"
