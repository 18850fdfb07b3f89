"""Find tables whose catalogue definition equals the declared one, so that the comparison can skip them.

Where most tables are as they were, most of the time would go into reflecting them and comparing what comes of that.
Words that differ prove nothing, since much can be said in several ways. Words that are equal do.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.compiler import DDLCompiler

from schema.migration.diff.declared import written_name
from schema.migration.diff.objects import Column, Constraint, Contents, Index, Key

_KEYS = (ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint)
# The server puts blanks elsewhere than SQLAlchemy, and names the method of an index that is the usual one.
_WRITTEN_OTHERWISE = re.compile(r" *([()]) *| USING btree\b")

Words = str | tuple[Key, str]
"""What names columns alone, without what is written otherwise; anything else with its key, in the server's words."""


def identical_tables(
    actual: Contents, wanted: Contents, tables: Iterable[Table], compiler: DDLCompiler
) -> frozenset[str]:
    """Return the names of the tables that are what they are declared to be.

    `wanted` holds the declared columns and expressions in the server's words (`schema.migration.diff.declared`). A
    table that has what there are no words for here, as a constraint without a name, is never among them.
    """
    columns, declared_columns = _by_table(actual), _by_table(wanted)
    said = _catalogue_words(actual, compiler)
    expressions = _catalogue_words(wanted, compiler)
    found = (
        table
        for table in tables
        if table.schema is None
        and table.name in actual.tables.keys() & wanted.tables.keys()
        and actual.tables[table.name] == wanted.tables[table.name]
        and actual.storage.get(table.name) == wanted.storage.get(table.name)
        and columns[table.name] == declared_columns[table.name]
    )
    return frozenset(
        table.name
        for table in found
        if said[table.name] == expressions[table.name].union(_declared_words(table, wanted, compiler))
    )


def _by_table(contents: Contents) -> dict[str, dict[str, tuple[Column, bool, str | None]]]:
    found: dict[str, dict[str, tuple[Column, bool, str | None]]] = defaultdict(dict)
    for (table, name), column in contents.columns.items():
        found[table][name] = column, column.nullable, column.comment
    return found


def _catalogue_words(contents: Contents, compiler: DDLCompiler) -> dict[str, set[Words]]:
    """Return what a catalogue says of the constraints and indexes of each table."""
    found: dict[str, set[Words]] = defaultdict(set)
    quote = compiler.preparer.quote
    for key, obj in contents.objects.items():
        if isinstance(obj, Constraint) and obj.plain:
            found[obj.table].add(_plain(f"CONSTRAINT {quote(obj.name)} {obj.definition}"))
        elif isinstance(obj, Index) and obj.plain:
            found[obj.table].add(_plain(obj.definition))
        elif isinstance(obj, Constraint | Index):
            found[obj.table].add((key, obj.definition))
    return found


def _declared_words(table: Table, wanted: Contents, compiler: DDLCompiler) -> Iterator[Words]:
    """Yield what is declared beside the expressions, and something that no catalogue says where there are no words."""
    for constraint in table.constraints:
        if isinstance(constraint, _KEYS):
            if constraint.columns or not isinstance(constraint, PrimaryKeyConstraint):
                yield _plain(compiler.process(constraint))
        elif ("constraint", table.name, written_name(constraint, compiler)) not in wanted.objects:
            yield ""
    for index in table.indexes:
        if ("index", table.name, written_name(index, compiler)) not in wanted.objects:
            yield _plain(str(CreateIndex(index).compile(dialect=compiler.dialect)))


def _plain(words: str) -> str:
    return _WRITTEN_OTHERWISE.sub(r"\1", words)
