"""What is asked of a migration tool, whichever it is, and whether it was done."""

from enum import StrEnum
from pathlib import PurePath

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import connect
from tests.ground.benchmarks.commands import CommandFailed
from tests.ground.benchmarks.files import Files


class Step(StrEnum):
    """A command, and what it finds: every sample of a step begins in the same state.

    Generating, FIRST finds tables that no migration makes, NO_CHANGE tables that are all made, ONE_COLUMN a column
    more in one of them. Migrating, FIRST finds an empty database and NOTHING one that is migrated.
    """

    GENERATE_FIRST = "generate-first"
    GENERATE_NO_CHANGE = "generate-no-change"
    GENERATE_ONE_COLUMN = "generate-one-column"
    MIGRATE_FIRST = "migrate-first"
    MIGRATE_NOTHING = "migrate-nothing"


WRITING = frozenset({Step.GENERATE_FIRST, Step.GENERATE_ONE_COLUMN})
MIGRATING = frozenset({Step.MIGRATE_FIRST, Step.MIGRATE_NOTHING})
PREFIX = "bench_"
"""What the names of the tables begin with."""

_MIGRATIONS = {".py", ".sql"}
_TABLES = "SELECT count(*) FROM pg_tables WHERE starts_with(tablename, %s)"


def refuse_undone(tool: str, step: Step, before: Files, after: Files) -> None:
    """See that a step wrote one migration, or none where nothing was to be written: a tool may fail and end with 0.

    Raises:
        CommandFailed: it did not.
    """
    written = [name for name in after if name not in before and PurePath(name).suffix in _MIGRATIONS]
    if len(written) != (step in WRITING):
        raise CommandFailed(f"{step}: {tool} ended with 0 and wrote {', '.join(written) or 'no migration'}.")


def refuse_unmigrated(tool: str, database: DatabaseUrl, settings: Settings, count: int) -> None:
    """See that a database holds so many of the tables.

    Raises:
        CommandFailed: it does not.
    """
    with connect(database, settings) as connection:
        [(found,)] = connection.execute(_TABLES, [PREFIX]).fetchall()
    if found != count:
        raise CommandFailed(f"{tool} ended with 0, and database {database.database} has {found} of {count} tables.")
