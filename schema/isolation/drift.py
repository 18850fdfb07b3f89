"""What the models declare and the database does not hold, and what migrations would do to tenants' data unseen.

Unlike the rules, this reads the models and the files: it finds what was changed by hand, however harmless it looks.
"""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection

from schema.functions import FUNCTIONS
from schema.isolation.finding import Finding
from schema.migration_lint import silent_data_statements
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
    tables = metadata.sorted_tables
    functions, written = as_written(clone, FUNCTIONS, declared_parts(tables), definitions(tables, clone.dialect))
    actual = read_tables(database)
    for one in differences({table: parts for table, parts in written.items() if table in actual}, actual):
        yield Finding("as-declared", one.table, one.cause.removeprefix(f"{one.table}: "), "; ".join(one.statements))
    for signature, definition in read_functions(database, FUNCTIONS).items():
        if definition is not None and definition != functions[signature]:
            fix = "run its CREATE again, from schema/functions.py"
            yield Finding("as-declared", signature, "it is not as declared", fix)


def data_statements(checkout: Path) -> Iterator[Finding]:
    """Yield the data statements of migrations that would silently touch no tenant's row.

    Raises:
        MigrationError: the migrations cannot be read.
    """
    tenant_tables = {table.name for table in metadata.sorted_tables if is_tenant_table(table)}
    for script in Migrations.load(checkout).scripts.walk_revisions():
        path = Path(script.path)
        for found in silent_data_statements(path.read_text(encoding="utf-8"), tenant_tables):
            wrong = f"a data statement on tenant table {found.table} names no tenant, so it touches no row"
            fix = "run it through for_each_tenant, or inside as_tenant (schema.data_migration)"
            yield Finding("data-statement", f"{path.name}:{found.line}", wrong, fix)
