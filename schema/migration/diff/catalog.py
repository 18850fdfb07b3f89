"""What a schema holds, as its catalogue has it."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, text

from schema.migration.diff.domains import Domain
from schema.migration.diff.objects import Column, Constraint, Contents, Generated, Index, Key, Object, Part, View
from schema.migration.diff.objects import Sequence as SequenceObject
from schema.migration.diff.rls.catalog import OWN, read_partitions, read_tables
from schema.migration.diff.storage import Storage
from schema.tenancy.policies import Policy, Trigger

# One question for each kind, whatever the number of tables. What belongs to an extension is the extension's, and what a
# partition has is its parent's. Expressions are read in full: where parentheses are left out, `a AND (b AND c)` is
# another when it is read again.
_RIGHTS = """
    ARRAY(SELECT coalesce(rolname, 'public') || ' ' || privilege_type
          FROM aclexplode(relacl) LEFT JOIN pg_roles r ON r.oid = grantee WHERE grantee <> relowner ORDER BY 1)
"""
_TABLES = """
    SELECT relname, obj_description(oid, 'pg_class') FROM pg_class c
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = to_regnamespace(:schema) AND <own>
"""
_STORAGE = """
    SELECT relname, relpersistence = 'u', ARRAY(SELECT unnest(reloptions) ORDER BY 1) FROM pg_class c
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = to_regnamespace(:schema) AND <own>
      AND (relpersistence = 'u' OR reloptions IS NOT NULL)
"""
# The default of a column that owns the sequence is part of its type: serial (PostgreSQL manual, 8.1.4).
_COLUMNS = """
    SELECT relname, attname, format_type(atttypid, atttypmod),
           CASE WHEN attgenerated = '' AND serial.name IS NULL THEN pg_get_expr(adbin, adrelid) END,
           CASE WHEN attgenerated <> '' THEN pg_get_expr(adbin, adrelid) END,
           CASE WHEN attcollation <> typcollation THEN collname END,
           CASE WHEN attidentity = '' THEN '' ELSE (<identity>) END, NOT attnotnull, col_description(attrelid, attnum),
           coalesce(serial.name, '')
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_type t ON t.oid = atttypid
    LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum
    LEFT JOIN pg_collation l ON l.oid = attcollation
    LEFT JOIN (
        SELECT e.oid, s.relname AS name FROM pg_depend o JOIN pg_class s ON s.oid = o.objid AND s.relkind = 'S'
        JOIN pg_depend u ON u.refobjid = o.objid AND u.refclassid = o.classid AND u.classid = 'pg_attrdef'::regclass
        JOIN pg_attrdef e ON e.oid = u.objid AND e.adrelid = o.refobjid AND e.adnum = o.refobjsubid
        WHERE o.deptype = 'a' AND o.classid = 'pg_class'::regclass
    ) AS serial ON serial.oid = d.oid
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND relnamespace = to_regnamespace(:schema)
      AND attnum > 0 AND NOT attisdropped AND <own>
    ORDER BY attrelid, attnum
"""
# Limits that come with the type change with it, so they are none.
_IDENTITY = """
    SELECT concat_ws(', ', CASE attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END,
                     'START WITH ' || seqstart, 'INCREMENT BY ' || seqincrement,
                     coalesce('MINVALUE ' || nullif(seqmin, CASE WHEN seqincrement > 0 THEN 1 ELSE -limited - 1 END),
                              'NO MINVALUE'),
                     coalesce('MAXVALUE ' || nullif(seqmax, CASE WHEN seqincrement > 0 THEN limited ELSE -1 END),
                              'NO MAXVALUE'),
                     'CACHE ' || seqcache, CASE WHEN seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END)
    FROM pg_depend s JOIN pg_sequence ON seqrelid = s.objid,
         LATERAL (SELECT CASE seqtypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647
                         ELSE 9223372036854775807 END) AS of_type (limited)
    WHERE s.classid = 'pg_class'::regclass AND s.refclassid = 'pg_class'::regclass
      AND s.refobjid = attrelid AND s.refobjsubid = attnum AND s.deptype = 'i'
"""
_COLUMNS = _COLUMNS.replace("<identity>", _IDENTITY)
# One that is not valid yet is what it will be once it is. A foreign key to a partitioned table has others beside it, to
# each partition.
_CONSTRAINTS = """
    SELECT relname, conname, contype::text, regexp_replace(pg_get_constraintdef(o.oid), ' NOT VALID$', ''),
           ARRAY(SELECT relname::text FROM pg_class WHERE contype = 'f' AND oid IN (conrelid, confrelid)
                 AND relforcerowsecurity ORDER BY 1)
    FROM pg_constraint o JOIN pg_class c ON c.oid = conrelid
    WHERE relnamespace = to_regnamespace(:schema) AND contype IN ('c', 'u', 'p', 'f', 'x') AND NOT c.relispartition
      AND NOT (contype = 'f' AND conparentid <> 0) AND <own> ORDER BY o.oid
"""
_INDEXES = """
    SELECT c.relname, i.relname,
           replace(replace(pg_get_indexdef(i.oid), format(' ON ONLY %I.%I USING ', nspname, c.relname), <on>),
                   format(' ON %I.%I USING ', nspname, c.relname), <on>),
           indpred IS NULL AND indexprs IS NULL AND amname = 'btree' AND indnatts = indnkeyatts AND i.reloptions IS NULL
           AND NOT indnullsnotdistinct AND indoption::text !~ '[1-9]'
           AND NOT EXISTS (SELECT FROM unnest(indclass) k JOIN pg_opclass p ON p.oid = k WHERE NOT opcdefault),
           CASE WHEN indexprs IS NULL THEN '{}' ELSE ARRAY(
               SELECT CASE indkey[n - 1] WHEN 0 THEN pg_get_indexdef(i.oid, n, false) END
               FROM generate_series(1, indnkeyatts) AS n ORDER BY n
           ) END
    FROM pg_index JOIN pg_class i ON i.oid = indexrelid JOIN pg_class c ON c.oid = indrelid
    JOIN pg_am a ON a.oid = i.relam JOIN pg_namespace s ON s.oid = c.relnamespace
    WHERE i.relnamespace = to_regnamespace(:schema) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.oid AND contype IN ('p', 'u', 'x'))
      AND <own> ORDER BY i.oid
"""
# An index of a partitioned table is made for its partitions too, and written as if it were not.
_INDEXES = _INDEXES.replace("<on>", "format(' ON %I USING ', c.relname)")
_VIEWS = """
    SELECT relname, pg_get_viewdef(c.oid), relkind = 'm', coalesce(reloptions, '{}'), <rights>
    FROM pg_class c WHERE relkind IN ('v', 'm') AND relnamespace = to_regnamespace(:schema) AND <own> ORDER BY c.oid
"""
_SEQUENCES = """
    SELECT relname, format_type(seqtypid, NULL), seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle, <rights>
    FROM pg_sequence JOIN pg_class c ON c.oid = seqrelid
    WHERE relnamespace = to_regnamespace(:schema) AND <own> AND NOT EXISTS (
        SELECT FROM pg_depend o WHERE o.objid = c.oid AND o.classid = 'pg_class'::regclass AND deptype IN ('a', 'i')
          AND refclassid = 'pg_class'::regclass
    ) ORDER BY c.oid
"""
_TABLES, _STORAGE, _COLUMNS, _CONSTRAINTS, _INDEXES, _VIEWS, _SEQUENCES = (
    query.replace("<own>", OWN).replace("<rights>", _RIGHTS)
    for query in (_TABLES, _STORAGE, _COLUMNS, _CONSTRAINTS, _INDEXES, _VIEWS, _SEQUENCES)
)
_ENUMS = """
    SELECT typname, array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum JOIN pg_type t ON t.oid = enumtypid
    WHERE typnamespace = to_regnamespace(:schema)
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = t.oid AND deptype = 'e') GROUP BY 1 ORDER BY 1
"""
_DOMAINS = """
    SELECT t.typname, format_type(t.typbasetype, t.typtypmod),
           CASE WHEN t.typcollation <> b.typcollation THEN collname END, pg_get_expr(t.typdefaultbin, 0),
           NOT t.typnotnull, ARRAY(SELECT conname::text FROM pg_constraint WHERE contypid = t.oid ORDER BY oid),
           ARRAY(SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contypid = t.oid ORDER BY oid)
    FROM pg_type t JOIN pg_type b ON b.oid = t.typbasetype LEFT JOIN pg_collation l ON l.oid = t.typcollation
    WHERE t.typtype = 'd' AND t.typnamespace = to_regnamespace(:schema)
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = t.oid AND deptype = 'e') ORDER BY t.oid
"""
# What names a column or a type in an expression, and what a view selects, as views may of views.
_DEPENDENTS = """
    WITH RECURSIVE target AS (
        SELECT 'pg_class'::regclass::oid AS class, attrelid AS object, attnum::int AS part
        FROM unnest(CAST(:tables AS text[]), CAST(:columns AS text[])) AS w(t, c)
        JOIN pg_attribute ON attrelid = to_regclass(quote_ident(t)) AND attname = c
        UNION ALL
        SELECT 'pg_class'::regclass::oid, to_regclass(quote_ident(v)), 0 FROM unnest(CAST(:views AS text[])) AS v
        UNION ALL
        SELECT 'pg_type'::regclass::oid, unnest(ARRAY[t.oid, typarray]), 0
        FROM unnest(CAST(:types AS text[])) AS w JOIN pg_type t ON t.oid = to_regtype(quote_ident(w))
    ), hit AS (
        SELECT classid, objid FROM pg_depend JOIN target ON refclassid = class AND refobjid = object
        AND (part = 0 OR refobjsubid = part) AND deptype IN ('n', 'a')
    ), view AS (
        SELECT ev_class AS oid FROM hit JOIN pg_rewrite r ON classid = 'pg_rewrite'::regclass AND objid = r.oid
        UNION
        SELECT ev_class FROM view JOIN pg_depend ON refclassid = 'pg_class'::regclass AND refobjid = view.oid
        JOIN pg_rewrite r ON classid = 'pg_rewrite'::regclass AND objid = r.oid
    )
    SELECT 'generated', relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
    WHERE attgenerated <> '' AND NOT attisdropped AND NOT c.relispartition AND (
        EXISTS (
            SELECT FROM target JOIN pg_depend ON refclassid = class AND refobjid = object AND refobjsubid = part
            JOIN pg_attrdef d ON classid = 'pg_attrdef'::regclass AND objid = d.oid
            WHERE adrelid = attrelid AND adnum = attnum AND NOT (object = attrelid AND part = attnum)
        ) OR EXISTS (SELECT FROM target WHERE class = 'pg_type'::regclass AND object = atttypid)
    )
    UNION
    SELECT 'view', '', relname FROM view JOIN pg_class USING (oid) WHERE relkind IN ('v', 'm')
    UNION
    SELECT 'constraint', relname, conname FROM hit
    JOIN pg_constraint o ON (classid = 'pg_constraint'::regclass AND objid = o.oid)
      OR (classid = 'pg_class'::regclass AND objid = conindid AND contype = 'x')
    JOIN pg_class c ON c.oid = conrelid
    UNION
    SELECT 'index', c.relname, i.relname FROM hit JOIN pg_index ON classid = 'pg_class'::regclass AND objid = indexrelid
    JOIN pg_class i ON i.oid = indexrelid JOIN pg_class c ON c.oid = indrelid
    UNION
    SELECT 'policy', relname, polname FROM hit JOIN pg_policy p ON classid = 'pg_policy'::regclass AND objid = p.oid
    JOIN pg_class c ON c.oid = polrelid
    UNION
    SELECT 'trigger', relname, tgname FROM hit JOIN pg_trigger g ON classid = 'pg_trigger'::regclass AND objid = g.oid
    JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal
"""

_FORCED_ENDS = """
    SELECT DISTINCT c.relname FROM pg_constraint o JOIN pg_class c ON c.oid IN (conrelid, confrelid)
    JOIN pg_attribute a ON attname = :column AND attrelid = to_regclass(quote_ident(:table))
    WHERE contype = 'f' AND c.relforcerowsecurity
    AND ((conrelid = attrelid AND attnum = ANY (conkey)) OR (confrelid = attrelid AND attnum = ANY (confkey)))
    ORDER BY relname
"""

# A foreign key depends on the index of the key that it leads to.
_REFERRING = """
    SELECT c.relname, conname FROM pg_constraint JOIN pg_class i ON i.oid = conindid JOIN pg_class c ON c.oid = conrelid
    WHERE contype = 'f' AND conparentid = 0 AND i.relname = ANY(:indexes)
      AND i.relnamespace = to_regnamespace('public')
"""


def read_contents(connection: Connection, schema: str = "public") -> Contents:
    """Return what a schema holds; nothing is locked but the catalogue's rows are read."""
    objects: list[Object] = [
        *(_sequence(*row) for row in _ask(connection, _SEQUENCES, schema=schema)),
        *(_constraint(*row) for row in _ask(connection, _CONSTRAINTS, schema=schema)),
        *(_index(*row) for row in _ask(connection, _INDEXES, schema=schema)),
        *(_view(*row) for row in _ask(connection, _VIEWS, schema=schema)),
    ]
    return Contents(
        dict(_ask(connection, _TABLES, schema=schema)),
        {(table, name): Column(*rest) for table, name, *rest in _ask(connection, _COLUMNS, schema=schema)},
        {found.key: found for found in objects},
        read_enums(connection, schema),
        read_partitions(connection, schema),
        {row[0]: _domain(*row) for row in _ask(connection, _DOMAINS, schema=schema)},
        {name: Storage(on, tuple(options)) for name, on, options in _ask(connection, _STORAGE, schema=schema)},
    )


def read_enums(connection: Connection, schema: str = "public") -> dict[str, tuple[str, ...]]:
    """Return the labels of each enum type of a schema, by the type's name."""
    return {name: tuple(labels) for name, labels in _ask(connection, _ENUMS, schema=schema)}


def read_dependents(
    connection: Connection,
    contents: Contents,
    *,
    columns: Iterable[tuple[str, str]] = (),
    types: Iterable[str] = (),
    views: Iterable[str] = (),
) -> tuple[Object, ...]:
    """Return what stands in the way of changing columns, types or views of schema public, in its order of making."""
    wanted = list(columns)
    tables, names = [table for table, _ in wanted], [name for _, name in wanted]
    rows = _ask(connection, _DEPENDENTS, tables=tables, columns=names, types=list(types), views=list(views))
    keys: set[Key] = {(kind, table, name) for kind, table, name in rows}
    found = [obj for key, obj in contents.objects.items() if key in keys]
    found += [Generated(t, c, contents.columns[t, c]) for kind, t, c in sorted(keys) if kind == "generated"]
    if any(kind in {"policy", "trigger"} for kind, *_ in keys):
        found += [part for part in _parts(connection) if part.key in keys]
    return tuple(sorted(found, key=lambda obj: obj.rank))


def read_forced_ends(connection: Connection, table: str, column: str) -> tuple[str, ...]:
    """Return the tables under FORCE ROW LEVEL SECURITY at either end of the foreign keys that a column is part of."""
    return tuple(name for (name,) in _ask(connection, _FORCED_ENDS, table=table, column=column))


def read_referring(connection: Connection, contents: Contents, indexes: Iterable[str]) -> tuple[Object, ...]:
    """Return the foreign keys of schema public that lead to the keys of these indexes."""
    names = sorted(indexes)
    rows = _ask(connection, _REFERRING, indexes=names) if names else ()
    keys = {("constraint", table, name) for table, name in rows}
    return tuple(obj for key, obj in contents.objects.items() if key in keys)


def _parts(connection: Connection) -> list[Part]:
    every = ((table, part) for table, parts in read_tables(connection).items() for part in parts)
    return [Part(table, part) for table, part in every if isinstance(part, Policy | Trigger)]


def _constraint(table: str, name: str, kind: str, definition: str, forced: Sequence[str]) -> Constraint:
    return Constraint(table, name, kind, definition, tuple(forced))


def _domain(*row: Any) -> Domain:
    name, kind, collation, default, nullable, names, checks = row
    return Domain(name, kind, collation, default, nullable, dict(zip(names, checks, strict=True)))


def _index(table: str, name: str, definition: str, plain: bool, expressions: Sequence[str | None]) -> Index:
    return Index(table, name, definition, plain, tuple(expressions))


def _sequence(*row: Any) -> SequenceObject:
    *options, rights = row
    name, kind, start, increment, least, greatest, cache, cycle = options
    return SequenceObject(name, kind, start, increment, least, greatest, cache, cycle, _pairs(rights))


def _view(name: str, definition: str, materialized: bool, options: Sequence[str], rights: Sequence[str]) -> View:
    return View(name, definition, materialized, tuple(sorted(options)), _pairs(rights))


def _pairs(rights: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((role, right) for role, _, right in (right.rpartition(" ") for right in rights))


def _ask(connection: Connection, question: str, **parameters: Any) -> Sequence[Any]:
    return connection.execute(text(question), parameters).all()
