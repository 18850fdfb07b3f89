"""The changes that users of other tools reported: theirs were written again each time, or never."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from tests.ground.integration.autogenerate.changes import Change, Declare, several, table

_WORDS = "setweight(to_tsvector('english', coalesce(name, '')), 'A') || to_tsvector('simple', coalesce(note, '{}'))"


def reported(note: str, most: int) -> Declare:
    """Declare tables of which each part is from a report, with an expression that changes."""

    def declare(metadata: MetaData) -> object:
        for name in ("u", "v"):
            Table(
                name,
                metadata,
                Column("id", Integer, Identity(), primary_key=True),
                Column("key", Uuid, server_default=func.gen_random_uuid(), index=True, unique=True),
                Column("made", DateTime, server_default=text("(now() at time zone 'utc')")),
                Column("name", String(100)),
                Column("note", Text),
                # PostgreSQL adds casts to what is computed.
                Column("words", TSVECTOR, Computed(_WORDS.format(note), persisted=True)),
                # AND, a list that grows, and one name in two tables.
                CheckConstraint(f"id > 0 AND id < {most}", name="id_check"),
                CheckConstraint(f"name IN ('queued', '{note}x')", name="name_check"),
                # Keys that are checked late, and columns that are in no order of their table's.
                UniqueConstraint("name", "id", deferrable=True, initially="DEFERRED", name=f"late_{name}"),
                Index(
                    f"ix_{name}", "note", text("lower(name) DESC NULLS LAST"), "id", postgresql_where=text("id <> 7")
                ),
            )
        return metadata

    return declare


REPORTED = {
    "reported tables added": Change(table(), several(table(), reported("", 1000))),
    "reported tables changed": Change(several(table(), reported("", 1000)), several(table(), reported("none", 2000))),
    "reported tables dropped": Change(several(table(), reported("", 1000)), table()),
}
