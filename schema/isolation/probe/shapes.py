"""What a row of a table is made of, as the catalogue has it."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import psycopg

from schema.isolation.reading import rows

# A domain counts as the type below it, however many domains that is down, with every NOT NULL on the way. Of defaults
# that of the column's own type counts, which a domain takes from the one below when it is made (DefineDomain in
# commands/typecmds.c).
_COLUMNS = """
    WITH RECURSIVE below (oid, base, modifier, not_null) AS (
        SELECT oid, oid, -1, typnotnull FROM pg_type
        UNION ALL
        SELECT d.oid, b.oid, greatest(d.modifier, t.typtypmod), d.not_null OR b.typnotnull
        FROM below d JOIN pg_type t ON t.oid = d.base AND t.typtype = 'd' JOIN pg_type b ON b.oid = t.typbasetype
    ), types AS (
        SELECT d.oid, d.base, d.modifier, d.not_null, typelem AS element,
               CASE WHEN typcategory = 'A' THEN 'array' ELSE
                   CASE typtype WHEN 'e' THEN 'enum' WHEN 'r' THEN 'range' WHEN 'm' THEN 'multirange'
                   ELSE typname::text END END AS kind
        FROM below d JOIN pg_type b ON b.oid = d.base AND b.typtype <> 'd'
    )
    SELECT c.oid::regclass::text, a.attname::text, format_type(a.atttypid, a.atttypmod), t.kind,
           greatest(a.atttypmod, t.modifier),
           a.attnotnull OR t.not_null,
           a.atthasdef OR a.attidentity <> ''
               OR EXISTS (SELECT FROM pg_type WHERE oid = a.atttypid AND typdefault IS NOT NULL),
           ARRAY(
               SELECT enumlabel::text FROM pg_enum WHERE enumtypid = coalesce(e.base, t.base) ORDER BY enumsortorder
           ),
           a.attgenerated <> '', a.attidentity = 'a', coalesce(e.kind, '')
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN types t ON t.oid = a.atttypid
    LEFT JOIN types e ON e.oid = t.element AND t.kind = 'array'
    WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_|^information_schema$'
    ORDER BY c.oid, a.attnum
"""

# The checks of a domain are asked of the columns of every domain on it, and of arrays of these.
# A row for which there is no partition is refused as one that violates a CHECK, which then has no name.
_CHECKS = r"""
    WITH RECURSIVE asked (type, domain) AS (
        SELECT oid, oid FROM pg_type WHERE typtype = 'd'
        UNION
        SELECT t.oid, asked.domain FROM asked
        JOIN pg_type t ON t.typbasetype = asked.type OR t.typelem = asked.type AND t.typcategory = 'A'
    )
    SELECT k.conrelid::regclass::text, k.conname::text,
           ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = k.conrelid AND attnum = ANY (k.conkey)),
           pg_get_constraintdef(k.oid)
    FROM pg_constraint k WHERE k.contype = 'c' AND k.conrelid <> 0
    UNION ALL
    SELECT a.attrelid::regclass::text, k.conname::text, array_agg(a.attname::text), pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN asked ON domain = k.contypid
    JOIN pg_attribute a ON a.atttypid = asked.type AND NOT a.attisdropped
    WHERE k.contype = 'c' AND k.contypid <> 0
    GROUP BY a.attrelid, k.oid
    UNION ALL
    SELECT root::regclass::text, '', ARRAY(
               SELECT attname::text FROM pg_attribute WHERE attrelid = root AND attnum > 0
               AND bounds ~ concat('\m', regexp_replace(attname, '\W', '.', 'g'), '\M')
           ), bounds
    FROM (
        SELECT c.oid, string_agg(pg_get_partition_constraintdef(relid), ' OR ')
        FROM pg_class c, pg_partition_tree(c.oid) WHERE relkind = 'p' AND NOT relispartition AND isleaf GROUP BY 1
    ) AS partitioned (root, bounds)
    WHERE bounds IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a row: its type as SQL, the kind of its values, and whether it fills itself.

    `kind` is the type's name, or array, enum, range or multirange; `modifier` the type's (PostgreSQL manual, 53.7).
    `labels` are those of an enum, also of an array's elements, whose kind is `element`.
    One that is `generated` can be given no value; an identity that is `always` the server's only by overriding it.
    """

    table: str
    name: str
    type: str
    kind: str
    modifier: int
    not_null: bool
    has_default: bool
    labels: tuple[str, ...]
    generated: bool = False
    always: bool = False
    element: str = ""

    @property
    def needed(self) -> bool:
        """Whether a row without a value for it is refused."""
        return self.not_null and not self.has_default

    @property
    def can_be_aimed(self) -> bool:
        """Whether a foreign key from it must be given the parent's value."""
        return self.not_null and not self.generated


@dataclass(frozen=True, slots=True)
class Check:
    """A CHECK on some columns of a table, its own or that of their domain; without a name, what its partitions take."""

    table: str
    name: str
    columns: tuple[str, ...]
    definition: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What a row of one table is made of; checks by name."""

    columns: dict[str, Column]
    checks: dict[str, Check]


def read_shapes(connection: psycopg.Connection[Any]) -> dict[str, Shape]:
    """Return the shape of every table, by its name as the catalogue's data has it."""
    shapes: dict[str, Shape] = defaultdict(lambda: Shape({}, {}))
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL search_path = public")
        for column in rows(connection, Column, _COLUMNS):
            shapes[column.table].columns[column.name] = column
        for check in rows(connection, Check, _CHECKS):
            shapes[check.table].checks[check.name] = check
    return dict(shapes)
