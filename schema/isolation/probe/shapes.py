"""What a row of a table is made of, as the catalogue has it. psycopg only."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import psycopg

from schema.isolation.reading import rows

# A domain counts as the type below it (one level), with its own length and checks.
_COLUMNS = """
    SELECT c.oid::regclass::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
           CASE WHEN coalesce(b.typcategory, t.typcategory) = 'A' THEN 'array' ELSE
               CASE coalesce(b.typtype, t.typtype) WHEN 'e' THEN 'enum' WHEN 'r' THEN 'range' WHEN 'm' THEN 'multirange'
               ELSE coalesce(b.typname, t.typname)::text END END,
           greatest(a.atttypmod, t.typtypmod),
           a.attnotnull OR t.typnotnull, a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL,
           ARRAY(
               SELECT enumlabel::text FROM pg_enum WHERE enumtypid = coalesce(b.oid, t.oid) ORDER BY enumsortorder
           )
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type b ON b.oid = nullif(t.typbasetype, 0)
    WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_|^information_schema$'
      AND a.attgenerated = '' AND a.attidentity <> 'a'
    ORDER BY c.oid, a.attnum
"""

_CHECKS = """
    SELECT k.conrelid::regclass::text, k.conname::text,
           ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = k.conrelid AND attnum = ANY (k.conkey)),
           pg_get_constraintdef(k.oid)
    FROM pg_constraint k WHERE k.contype = 'c' AND k.conrelid <> 0
    UNION ALL
    SELECT a.attrelid::regclass::text, k.conname::text, array_agg(a.attname::text), pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_attribute a ON a.atttypid = k.contypid AND NOT a.attisdropped
    WHERE k.contype = 'c' AND k.contypid <> 0
    GROUP BY a.attrelid, k.oid
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a row may be given: its type as SQL, the kind of its values, and whether it fills itself.

    `kind` is the type's name, or array, enum, range or multirange; `modifier` the type's (PostgreSQL manual, 53.7).
    """

    table: str
    name: str
    type: str
    kind: str
    modifier: int
    not_null: bool
    has_default: bool
    labels: tuple[str, ...]

    @property
    def needed(self) -> bool:
        """Whether a row without a value for it is refused."""
        return self.not_null and not self.has_default


@dataclass(frozen=True, slots=True)
class Check:
    """A CHECK on some columns of a table, its own or that of their domain."""

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
