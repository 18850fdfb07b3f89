"""What has to stand around one tenant's exported rows, so that they come back whole and touch nobody else."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from infra.export import Export
from schema.connect import BoundedConnection

# What is deferrable already is deferred by the file's SET CONSTRAINTS.
_KEYS = """
    SELECT c.relname, p.relname, format('ALTER TABLE public.%%I ALTER CONSTRAINT %%I', c.relname, conname)
    FROM pg_constraint JOIN pg_class c ON c.oid = conrelid JOIN pg_class p ON p.oid = confrelid
    WHERE contype = 'f' AND conparentid = 0 AND NOT condeferrable AND c.relname = ANY(%(tables)s)
      AND connamespace = 'public'::regnamespace AND p.relnamespace = 'public'::regnamespace
    ORDER BY c.relname, conname
"""
# All tenants count with one sequence: it may only go on.
_SEQUENCES = """
    SELECT DISTINCT s.relname, format(
        'SELECT pg_catalog.setval(%%1$L, %%2$s) WHERE coalesce(pg_catalog.pg_sequence_last_value(%%1$L), 0) < %%2$s',
        format('public.%%I', s.relname), coalesce(pg_sequence_last_value(s.oid), 0)
    )
    FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_class t ON t.oid = d.refobjid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
      AND t.relname = ANY(%(tables)s) AND t.relnamespace = 'public'::regnamespace ORDER BY 1
"""


def export_of(connection: BoundedConnection, tables: Sequence[str]) -> Export:
    """Return how rows of tables are written, as the transaction of the connection sees them (REPEATABLE READ).

    They come back table by table, and of one table some hundreds at a time. So foreign keys of tables that refer to
    themselves or in a circle are looked at when all rows are there; for that they are altered, which locks their tables
    until the transaction ends.
    """
    keys = connection.execute(_KEYS, {"tables": list(tables)}).fetchall()
    references: dict[str, set[str]] = defaultdict(set)
    for child, parent, _ in keys:
        references[child].add(parent)
    around = [alter for child, parent, alter in keys if child in _reached(parent, references)]
    sequences = connection.execute(_SEQUENCES, {"tables": list(tables)}).fetchall()
    ((snapshot,),) = connection.execute("SELECT pg_export_snapshot()").fetchall()
    return Export(
        tuple(tables),
        before=(*(f"{alter} DEFERRABLE" for alter in around), "SET CONSTRAINTS ALL DEFERRED"),
        after=(
            "SET CONSTRAINTS ALL IMMEDIATE",
            *(f"{alter} NOT DEFERRABLE" for alter in around),
            *(forward for _, forward in sequences),
        ),
        sequences=tuple(name for name, _ in sequences),
        snapshot=str(snapshot),
    )


def _reached(start: str, references: Mapping[str, Iterable[str]]) -> set[str]:
    """Return a table and those that it refers to, over others as well."""
    reached, waiting = {start}, [start]
    while waiting:
        new = set(references.get(waiting.pop(), ())) - reached
        reached |= new
        waiting += new
    return reached
