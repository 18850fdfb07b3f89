"""What the models declare and the database does not hold, and what is wrong in the migrations' files.

Unlike the rules, this reads the models and the files: it finds what was changed by hand, however harmless it looks.
"""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection

from schema.isolation.finding import Finding
from schema.migration.diff.rls.catalog import as_written, read_tables
from schema.migration.diff.rls.compare import differences
from schema.migration.diff.rls.declared import declared_parts, definitions, with_rights
from schema.migration.files import Migrations
from schema.migration.lint.check import DATA_STATEMENT, by_kind, check_migrations
from schema.migration.models import load_models
from schema.tenancy.functions import FUNCTIONS
from schema.tenancy.mixin import is_tenant_table


def drift(database: Connection, clone: Connection) -> Iterator[Finding]:
    """Yield what differs between the database and the models, of the tables that it has.

    PostgreSQL writes the declared expressions its own way on the clone, so that nothing is made in the database. What
    became of functions is a rule of the catalogue.
    """
    tables = list(load_models().tables.values())
    _, written = as_written(clone, FUNCTIONS, declared_parts(tables), definitions(tables, clone.dialect))
    written = with_rights(written, tables)
    actual = read_tables(database)
    for difference in differences({table: parts for table, parts in written.items() if table in actual}, actual):
        yield Finding(
            "as-declared",
            difference.table,
            difference.cause.removeprefix(f"{difference.table}: "),
            "; ".join(difference.statements),
        )


def lint(migrations: Migrations) -> Iterator[Finding]:
    """Yield what is wrong in the migrations' files, as `schema.migration.lint.check` says, and not allowed there."""
    tenant_tables = {table.name for table in load_models().tables.values() if is_tenant_table(table)}
    paths = [Path(script.path) for script in migrations.in_order]
    for found in by_kind(check_migrations(paths, tenant_tables)):
        fix = f"write it otherwise, or say why not in the line above: # allow {found.rule}: …"
        about = "isolation" if found.rule == DATA_STATEMENT else "migrations"
        file = migrations.path_of(found.file).as_posix()
        yield Finding(found.rule, found.place, found.message, fix, about, file=file, lines=found.lines)
