"""Write one tenant's rows to a file that psql restores, so that they come back whole and touch nobody else.

The rows are read by the tenant's own SELECTs: the database keeps every other tenant's rows out, partitions are read
through their parent, and nothing but the connection decides where they come from.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from time import monotonic
from typing import LiteralString, NamedTuple, TextIO

from psycopg.sql import SQL, Identifier

from infra.config.files import draft_for
from infra.config.settings import function_schema
from schema.admin.whole_tenant import TenantTable, WholeTenant
from schema.client.connection import BoundedConnection
from schema.errors import TenantError

_ROWS_AN_INSERT = 500
_CHARACTERS_AN_INSERT = 1_000_000
_INTERVAL = 1.0  # seconds

# How values are written and read, whoever's settings these are otherwise (PostgreSQL manual, 20.11.2).
_FORMS = (
    "SET LOCAL DateStyle = 'ISO'",
    "SET LOCAL IntervalStyle = 'postgres'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
    "SET LOCAL lc_monetary = 'C'",
    "SET LOCAL xmloption = 'content'",
)
# So that names in values, such as those of a regclass, say their schema. The product's triggers may need theirs.
_WITHOUT_PATH = "SET LOCAL search_path = ''"

_COLUMNS: LiteralString = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
# What is deferrable already is deferred by the file's SET CONSTRAINTS.
_KEYS: LiteralString = """
    SELECT conrelid, confrelid, format('ALTER TABLE %%s ALTER CONSTRAINT %%I', conrelid::regclass, conname),
           condeferrable
    FROM pg_constraint
    WHERE contype = 'f' AND conparentid = 0 AND conrelid = ANY (%(tables)s) AND confrelid = ANY (%(tables)s)
    ORDER BY conrelid::regclass::text, conname
"""
# What a trigger of the product's own does with a new row was done when the row was new. The directory follows its
# tenants, and is in no file.
_TRIGGERS: LiteralString = """
    SELECT format('ALTER TABLE %%s DISABLE TRIGGER %%I', tgrelid::regclass, tgname),
           format('ALTER TABLE %%s ENABLE %%sTRIGGER %%I', tgrelid::regclass,
                  CASE tgenabled WHEN 'A' THEN 'ALWAYS ' ELSE '' END, tgname)
    FROM pg_trigger
    WHERE tgrelid = ANY (%(tables)s) AND NOT tgisinternal AND tgparentid = 0 AND tgenabled IN ('O', 'A')
      AND tgtype & 4 <> 0 AND tgfoid IS DISTINCT FROM to_regproc(%(directory)s)
    ORDER BY 1
"""
# All tenants count with one sequence: it may only go on.
_SEQUENCES: LiteralString = """
    SELECT DISTINCT format(
        'SELECT pg_catalog.setval(%%1$L, %%2$s) WHERE coalesce(pg_catalog.pg_sequence_last_value(%%1$L), 0) < %%2$s',
        seqrelid::regclass, pg_sequence_last_value(seqrelid)
    )
    FROM pg_sequence JOIN pg_depend ON objid = seqrelid AND classid = 'pg_class'::regclass
    WHERE refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i') AND refobjid = ANY (%(tables)s)
      AND pg_sequence_last_value(seqrelid) IS NOT NULL ORDER BY 1
"""
_OIDS: LiteralString = "SELECT %s::regclass::oid"


def file_in(folder: Path, name: str) -> Path:
    """Return a file for an export in `folder`, which is made, for its owner alone, and keeps itself out of git.

    Raises:
        TenantError: the folder cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# Rows of customers.\n*\n", encoding="utf-8")
    except OSError as error:
        raise TenantError(
            f"{folder} cannot be used: {error.strerror}. Nothing was deleted. Name a file with --export."
        ) from None
    return folder / name


@contextmanager
def exported(view: WholeTenant, file: Path, say: Callable[[str], None] = lambda _: None) -> Iterator[dict[str, int]]:
    """Write a tenant's rows to `file` (mode 0600) and give how many each table has; the file is there after the block.

    It is whole and on the disk before it has its name; a block that raises leaves none. `say` is told about once a
    second how far it is.

    Raises:
        TenantError: the file is there already, or cannot be written.
        psycopg.Error: the rows cannot be read.
    """
    if file.exists():  # what is found at the end, after the work, is refused as well
        raise _exists(file)
    try:
        with draft_for(file, mode=0o600, replace=False, durable=True) as draft:
            with draft.open("w", encoding="utf-8", newline="") as stream:
                counts = _write(view, stream, say)
            yield counts
    except FileExistsError:
        raise _exists(file) from None
    except OSError as error:
        raise TenantError(
            f"{file} cannot be written: {error.strerror}. Nothing was deleted. Name a file in a folder that is yours."
        ) from None


def _exists(file: Path) -> TenantError:
    return TenantError(f"{file} is there already and is not written over. Nothing was deleted. Name another file.")


def _write(view: WholeTenant, stream: TextIO, say: Callable[[str], None]) -> dict[str, int]:
    ((path,),) = view.connection.execute("SELECT current_setting('search_path')").fetchall()
    for setting in (*_FORMS, _WITHOUT_PATH):
        view.connection.execute(setting)
    plan = _restoring(view.connection, view.tables)
    stream.write(f"-- The rows of tenant {view.tenant}. They come back, as the owner, with: psql -X -f FILE\n")
    stream.write("\\set ON_ERROR_STOP on\n\n")
    context = f"SET LOCAL app.tenant_id = '{view.tenant}'"
    _statements(stream, ["BEGIN", "SET LOCAL client_encoding = 'UTF8'", *_FORMS, context, *plan.before])
    counts = {str(table): _rows(view, table, stream, say) for table in plan.tables}
    _statements(stream, [*plan.after, "COMMIT"])
    view.connection.execute("SELECT set_config('search_path', %s, true)", [path])
    return counts


def _statements(stream: TextIO, statements: Iterable[str]) -> None:
    stream.writelines(f"{statement};\n" for statement in statements)


def _rows(view: WholeTenant, table: TenantTable, stream: TextIO, say: Callable[[str], None]) -> int:
    """Write a table's rows as INSERTs, because COPY FROM is refused under row level security (manual, COPY)."""
    found = view.connection.execute(_COLUMNS, [_name(table)]).fetchall()
    columns = [Identifier(column) for (column,) in found]
    head = SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES\n").format(table.identifier, SQL(", ").join(columns))
    # format() writes a value as its type does, and quotes it.
    values = SQL(" || ', ' || ").join(SQL("format('%L', {})").format(column) for column in columns)
    rows = SQL("SELECT '(' || {} || ')' FROM {} WHERE {}").format(values, table.rows, view.predicate)
    count, room, told = 0, 0, monotonic()
    with view.connection.cursor(name="exported") as cursor:
        cursor.itersize = _ROWS_AN_INSERT
        for number, (row,) in enumerate(cursor.execute(rows)):
            begins = number % _ROWS_AN_INSERT == 0 or room <= 0
            if begins:
                room = _CHARACTERS_AN_INSERT
                stream.write((";\n" if number else "") + head.as_string(view.connection))
            stream.write(("" if begins else ",\n") + row)
            room -= len(row)
            count += 1
            if begins and monotonic() - told >= _INTERVAL:
                say(f"{count} rows of {table} are written")
                told = monotonic()
    stream.write(";\n" if count else "")
    return count


class _Restoring(NamedTuple):
    """In which order tables come back, and the statements before and after their rows."""

    tables: Sequence[TenantTable]
    before: Sequence[str]
    after: Sequence[str]


def _restoring(connection: BoundedConnection, tables: Sequence[TenantTable]) -> _Restoring:
    """Plan how rows come back: parents first, of one table some hundreds at a time.

    So foreign keys of tables that refer to themselves or in a circle are looked at when all rows are there; for that
    they are altered, and triggers on new rows are disabled, which locks their tables until the transaction ends.
    """
    by_oid = {connection.execute(_OIDS, [_name(table)]).fetchall()[0][0]: table for table in tables}
    oids = {"tables": list(by_oid), "directory": f"{function_schema()}.keep_tenant_directory"}
    keys = connection.execute(_KEYS, oids).fetchall()
    references: dict[int, set[int]] = defaultdict(set)
    for child, parent, _, _ in keys:
        references[child].add(parent)
    reached = {oid: _reached(oid, references) for oid in by_oid}
    around = [alter for child, parent, alter, deferrable in keys if child in reached[parent] and not deferrable]
    straight = {oid: {reference for reference in references[oid] if oid not in reached[reference]} for oid in by_oid}
    triggers = connection.execute(_TRIGGERS, oids).fetchall()
    return _Restoring(
        [by_oid[oid] for oid in TopologicalSorter(straight).static_order()],
        [*(f"{alter} DEFERRABLE" for alter in around), "SET CONSTRAINTS ALL DEFERRED", *(off for off, _ in triggers)],
        [
            "SET CONSTRAINTS ALL IMMEDIATE",
            *(f"{alter} NOT DEFERRABLE" for alter in around),
            *(on for _, on in triggers),
            *(forward for (forward,) in connection.execute(_SEQUENCES, oids).fetchall()),
        ],
    )


def _name(table: TenantTable) -> str:
    return table.identifier.as_string()


def _reached(start: int, references: Mapping[int, Iterable[int]]) -> set[int]:
    """Return a table and those that it refers to, over others as well."""
    reached, waiting = {start}, [start]
    while waiting:
        new = set(references.get(waiting.pop(), ())) - reached
        reached |= new
        waiting += new
    return reached
