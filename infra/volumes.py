"""What a data folder says of itself, whatever backend it lives in."""

from typing import NamedTuple

from infra.errors import StackError
from infra.spec import POSTGRES_MAJOR

# Beside PG_VERSION, written after the data first served: without it the data was never finished and holds nothing.
MARKER = "groundwork.complete"


class Data(NamedTuple):
    """What was read of PostgreSQL's data: where it is, who made it (None: nobody finished), whether it ever served."""

    where: str
    version: str | None
    complete: bool


def refuse_other_major(where: str, found: str) -> None:
    """Refuse data of another major version: no PostgreSQL reads another's data folder.

    Source: PostgreSQL manual, 19.6 Upgrading a PostgreSQL Cluster.

    Raises:
        StackError: names both versions and the way from one to the other.
    """
    if found != str(POSTGRES_MAJOR):
        raise StackError(
            f"The data in {where} was made by PostgreSQL {found}, and the stack runs {POSTGRES_MAJOR}. Nothing was "
            f"started or changed. Start a PostgreSQL {found} on that data, write a dump with `pg_dumpall`, then run "
            "`invoke down --volumes`, `invoke up`, and restore the dump with `invoke psql`."
        )
