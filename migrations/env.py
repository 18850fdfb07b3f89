"""Alembic's environment: on the connection that `schema.migrate` hands in, or as the owner from plain `alembic`."""

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData

from infra.errors import InfraError
from infra.settings import FUNCTION_SCHEMA, Role, Settings
from schema.errors import SchemaError
from schema.rls import alembic_plugin

PLUGINS = ("alembic.autogenerate.*", "alembic.ext.checkconstraint_byname", alembic_plugin.NAME)


def run(connection: Connection | None, metadata: MetaData | None) -> None:
    """Run what the command asks for; without a connection the SQL is printed (`--sql`)."""
    context.configure(
        connection=connection,
        dialect_name="postgresql",
        literal_binds=connection is None,
        target_metadata=metadata,
        version_table_schema=FUNCTION_SCHEMA,
        transaction_per_migration=True,
        compare_server_default=True,
        autogenerate_plugins=PLUGINS,
        on_version_apply=context.config.attributes.get("on_version_apply"),
    )
    with context.begin_transaction():
        context.run_migrations()


def run_as_owner() -> None:
    """Connect as the owner to the database that the settings or the running stack name."""
    from infra.endpoints import database_url  # only plain `alembic` looks for the stack
    from schema.engine import owner_engine  # as above
    from schema.models import metadata  # migrating needs no models; plain `alembic check` does

    try:
        settings = Settings.load()
        with owner_engine(database_url(settings, Role.OWNER), settings).connect() as connection:
            run(connection, metadata)
    except (InfraError, SchemaError) as error:
        raise CommandError(str(error)) from error


attributes = context.config.attributes
if context.is_offline_mode():
    run(None, None)
elif "connection" in attributes:
    run(attributes["connection"], attributes.get("metadata"))
else:
    run_as_owner()
