"""What the models declare and the database does not hold, and what is amiss in the migrations' files.

Unlike the rules, this reads the models and the files: it finds what was changed by hand, however harmless it looks.
"""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection

from schema.functions import FUNCTIONS
from schema.isolation.finding import Finding
from schema.migration_check import check_migrations
from schema.models import metadata
from schema.revisions import Migrations
from schema.rls.catalog import as_written, read_functions, read_tables
from schema.rls.compare import differences
from schema.rls.declared import declared_parts, definitions
from schema.tenancy import is_tenant_table


def drift(database: Connection, clone: Connection) -> Iterator[Finding]:
    """Yield what differs between the database and the models, of the tables that it has.

    PostgreSQL writes the declared expressions its own way on the clone, so that nothing is made in the database.
    """
    tables = list(metadata.tables.values())
    functions, written = as_written(clone, FUNCTIONS, declared_parts(tables), definitions(tables, clone.dialect))
    actual = read_tables(database)
    for one in differences({table: parts for table, parts in written.items() if table in actual}, actual):
        yield Finding("as-declared", one.table, one.cause.removeprefix(f"{one.table}: "), "; ".join(one.statements))
    for signature, definition in read_functions(database, FUNCTIONS).items():
        if definition is not None and definition != functions[signature]:
            fix = "run its CREATE again, from schema/functions.py"
            yield Finding("as-declared", signature, "it is not as declared", fix)


def lint(checkout: Path) -> Iterator[Finding]:
    """Yield what is amiss in the migrations' files, as `schema.migration_check` says, and not allowed there.

    Raises:
        MigrationError: the migrations cannot be read.
    """
    tenant_tables = {table.name for table in metadata.tables.values() if is_tenant_table(table)}
    paths = [Path(script.path) for script in Migrations.load(checkout).in_order]
    for found in check_migrations(paths, tenant_tables):
        fix = f"write it otherwise, or say why not in the line above: # allow {found.rule}: …"
        yield Finding(found.rule, f"{found.file}:{found.line}", found.message, fix)
