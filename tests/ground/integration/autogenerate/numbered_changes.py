"""The changes of columns that number their rows."""

from sqlalchemy import BigInteger, Column, Identity, Integer, SmallInteger, Table, Text

from tests.ground.integration.autogenerate.changes import BOTH, FILLED, Change, Declare, column, several, table


def serial(kind: type[Integer | Text], *identity: Identity) -> Declare:
    """Declare a table whose key is counted, by a sequence unless by an identity."""
    return lambda metadata: Table("s", metadata, Column("id", kind, *identity, primary_key=True))


NUMBERED = {
    "identity's steps": Change(
        table(column("n", Integer, Identity)),
        table(column("n", Integer, lambda: Identity(increment=5, cycle=True))),
        kept=BOTH,
    ),
    "identity that becomes the only source": Change(
        table(column("n", Integer, lambda: Identity(maxvalue=9))),
        table(column("n", Integer, lambda: Identity(always=True, minvalue=-5, start=-5))),
        kept=BOTH,
    ),
    "identity of another type": Change(
        table(column("n", Integer, Identity)),
        table(column("n", SmallInteger, lambda: Identity(increment=2))),
        kept=BOTH,
    ),
    "identity of what could be NULL": Change(
        table(column("n", Integer, server_default="7")),
        table(column("n", BigInteger, lambda: Identity(increment=-1))),
        FILLED,
        BOTH,
    ),
    "identity no longer": Change(
        table(column("n", Integer, Identity)),
        table(column("n", Text, server_default="a")),
        kept=BOTH,
    ),
    "identity": Change(
        table(column("n", Integer, nullable=False)),
        table(column("n", Integer, lambda: Identity(always=True))),
        FILLED,
        BOTH,
    ),
    "serial becomes an identity": Change(
        several(table(), serial(Integer)), several(table(), serial(Integer, Identity()))
    ),
    "serial becomes bigserial": Change(several(table(), serial(Integer)), several(table(), serial(BigInteger))),
}
