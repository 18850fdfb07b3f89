"""Indexes that a build or a drop left invalid: every write keeps them up, no query uses them."""

import re
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

# One that is being built now is not yet valid either. An index of a partitioned table becomes valid by those of its
# parts, which are here themselves.
INVALID = """
    SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text, i.indisunique
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
    WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) AND x.relkind = 'i'
      AND n.nspname !~ '^pg_|^information_schema$'
      AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = i.indrelid)
    ORDER BY 1, 2
"""
# What REINDEX CONCURRENTLY calls the index that it builds, and the one that it puts away.
_OF_REINDEX = re.compile(r'_cc(new|old)\d*"?$')


@dataclass(frozen=True, slots=True)
class InvalidIndex:
    """An index that is not valid, and its table; names are written as SQL."""

    table: str
    name: str
    unique: bool

    @property
    def wrong(self) -> str:
        """What is wrong, in words."""
        holds = ", and it does not keep its columns unique" if self.unique else ""
        return f"a build or a drop left it invalid: every write keeps it up, no query uses it{holds}"

    @property
    def fix(self) -> str:
        """What to do (PostgreSQL manual, REINDEX: Rebuilding Indexes Concurrently)."""
        if _OF_REINDEX.search(self.name):
            return self.statement
        return f"{self.statement}, or DROP INDEX CONCURRENTLY {self.name} if it was to be dropped"

    @property
    def statement(self) -> str:
        """The one statement that leaves no invalid index: it drops what REINDEX left behind, and builds any other."""
        return f"{'DROP INDEX' if _OF_REINDEX.search(self.name) else 'REINDEX INDEX'} CONCURRENTLY {self.name}"


def read(connection: psycopg.Connection[Any]) -> tuple[InvalidIndex, ...]:
    """Return the invalid indexes of a database, of whatever role."""
    query: LiteralString = INVALID
    return tuple(InvalidIndex(*row) for row in connection.execute(query).fetchall())
