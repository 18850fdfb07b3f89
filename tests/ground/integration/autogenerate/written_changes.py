"""The changes whose words hold what SQLAlchemy, Alembic, Python or a driver take for something of their own."""

from typing import Any

from sqlalchemy import CheckConstraint, Column, Computed, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from tests.ground.integration.autogenerate.changes import Change, Declare, several, table

# Expressions as `text` wants them: a colon that is no parameter's has a backslash.
EXPRESSIONS = (
    r"'a \:b'",
    r"'a\:\:b'",
    r"'\:a'",
    r"'a\:'",
    "'::a'",
    r"'\:\:\:a'",
    r"'a\\:b'",
    r"'a\\\:b'",
    r"'%s %(x)s \:x 100%'",
    r"'it''s \:q'",
    r"'ü\:ü \:1'",
    r"'12\:30\:00'",
    r"$$a \:b$$",
    r"E'a\\n \:b'",
    r"'x \:y'\:\:text",
    "'a\n \\:b'",
)
# What is a value already, with no syntax to it.
VALUES = ("a :b", "'a'", "'", "''", "a\\b", "a\\:b", "100%", "%(x)s", "\\", "it's", "'q", "ü\n:x", "a::b", "now()")
SUFFIX = r"ext ~ '^(?\:jpg|{})$'"


def defaults(name: str) -> Declare:
    """Declare a table with a column for each default."""
    every: list[Any] = [*map(text, EXPRESSIONS), *VALUES]
    columns = [Column(f"c{number}", Text, server_default=default) for number, default in enumerate(every)]
    return lambda metadata: Table(
        name, metadata, Column("id", Integer, primary_key=True, autoincrement=False), *columns
    )


def suffixed(name: str, *endings: str) -> Declare:
    """Declare a table that knows endings of files, wherever a table may hold an expression."""
    known = SUFFIX.format("|".join(endings))

    def declare(metadata: MetaData) -> object:
        return Table(
            name,
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("ext", Text),
            Column("g", Text, Computed(rf"ext || '\:{endings[-1]} %'", persisted=True)),
            CheckConstraint(known, name="known"),
            *(CheckConstraint(f"ext <> {one}", name=f"k{number}") for number, one in enumerate(EXPRESSIONS)),
            Index("ix_partial", "id", postgresql_where=text(known)),
            Index("ix_expression", text(rf"(ext || ' \:{endings[-1]} %')")),
            ExcludeConstraint((text(r"int8range(id, length(ext || '\:a %'))"), "&&"), name="apart", where=text(known)),
            comment=rf"\:a :{endings[-1]} % 'q' \\",
        )

    return declare


WRITTEN = {
    "defaults with colons and quotes added": Change(table(), several(table(), defaults("u"))),
    "defaults with colons and quotes dropped": Change(several(table(), defaults("u")), table()),
    "columns with colons and quotes added": Change(table(), defaults("t"), ("INSERT INTO t (id) VALUES (1), (2)",)),
    "expressions with colons added": Change(table(), several(table(), suffixed("u", "png"))),
    "expressions with colons changed": Change(
        suffixed("t", "png"), suffixed("t", "png", "gif"), ("INSERT INTO t VALUES (1, 'jpg')",), "SELECT id, ext FROM t"
    ),
    "expressions with colons dropped": Change(several(table(), suffixed("u", "png")), table()),
    "parts with colons dropped": Change(suffixed("t", "png"), table(), ("INSERT INTO t VALUES (1, 'jpg')",)),
}
