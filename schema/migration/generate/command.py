"""Write migrations from the models."""

from pathlib import Path

from alembic import command
from sqlalchemy import Connection, MetaData

from infra.config.settings import CHECKOUT, Settings
from infra.config.urls import DatabaseUrl
from schema.migration.apply.applied import ask
from schema.migration.apply.run import Run
from schema.migration.diff.unsupported import refuse_other_schemas
from schema.migration.engine import owner_engine
from schema.migration.files import Migrations
from schema.migration.generate.request import Request
from schema.migration.generate.writer import Generation
from schema.migration.lint.check import Finding, check_migrations
from schema.migration.models import load_models
from schema.migration.shadow_template import Ephemeral, key, migrated_shadow


def generate(
    owner: DatabaseUrl | None,
    settings: Settings,
    request: Request,
    *,
    checkout: Path = CHECKOUT,
    metadata: MetaData | None = None,
    ephemeral: Ephemeral | None = None,
) -> Path | None:
    """Write the migration from what the migrations make to what the models declare; None where these agree.

    The two are compared in a shadow database, so the state of the development database does not count and nothing
    of a tenant's is read. It is made on the owner's server or, where there is none or the owner may not make one, on
    the server that `ephemeral` gives for a while. `metadata` is what is declared: the product's models unless given.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: the request cannot be granted or needs a word more, the migrations cannot be read or applied,
            or no database can be made.
    """
    _ = request.title  # refused before anything connects
    declared = load_models() if metadata is None else metadata
    refuse_other_schemas(declared)
    migrations = Migrations.load(checkout, lambda: ask(owner, settings))
    template = key(checkout, migrations.scripts.versions)

    def apply(database: DatabaseUrl) -> None:
        with owner_engine(database, settings).connect() as connection:
            _apply(migrations, connection)

    with (
        migrated_shadow(owner, settings, template, apply, ephemeral) as shadow,
        owner_engine(shadow, settings).connect() as connection,
    ):
        return Generation(migrations, connection, declared, request, applied=lambda: ask(owner, settings)).run()


def findings(*paths: Path) -> tuple[Finding, ...]:
    """Return what is wrong in migrations, as `lint.check` says; of all of them unless some are named."""
    from schema.tenancy.mixin import is_tenant_table  # applying migrations needs no models

    metadata = load_models()
    every = paths or sorted((CHECKOUT / "migrations" / "versions").glob("*.py"))
    return check_migrations(every, {table.name for table in metadata.tables.values() if is_tenant_table(table)})


def _apply(migrations: Migrations, connection: Connection) -> None:
    """Make a shadow database what the migrations make; it is nobody's, so no rule guards it."""
    Run(migrations, connection, migrations.pending(())).execute(lambda: command.upgrade(migrations.config, "head"))
