"""Alembic's environment: on the connection that `schema.applying` hands in, or as the owner from plain `alembic`."""

from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData

from infra.errors import InfraError
from infra.settings import FUNCTION_SCHEMA, Role, Settings
from schema.applying.guard import Guard, Refused, driver_of, guarded
from schema.applying.recording import ignored, recorder
from schema.errors import SchemaError


def run(connection: Connection | None, metadata: MetaData | None) -> None:
    """Run what the command asks for; without a connection the SQL is printed (`--sql`)."""
    context.configure(
        connection=connection,
        dialect_name="postgresql",
        # Of the styles of parameters this one does not double a % in the SQL that is printed.
        dialect_opts={"paramstyle": "named"},
        literal_binds=connection is None,
        target_metadata=metadata,
        version_table_schema=FUNCTION_SCHEMA,
        transaction_per_migration=True,
        **({} if metadata is None else comparison()),
        on_version_apply=recorder(context.config.attributes.get("on_version_apply", ignored)),
    )
    with context.begin_transaction():
        context.run_migrations()


def comparison() -> dict[str, Any]:
    """Return how models are compared, which migrating needs nothing of."""
    from schema.autogenerate.plugin import options  # see above; a tenth of a second
    from schema.autogenerate.rendering import render_item  # as above

    return {"compare_server_default": True, "render_item": render_item, **options()}


def moves() -> bool:
    """Tell whether the command moves the database: upgrade, downgrade and stamp have a destination."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def run_as_owner() -> None:
    """Connect as the owner to the database that the settings or the running stack name.

    What changes the database waits for its turn, and loses data only where it may: `alembic -x i-mean=app …`.
    """
    from infra.adoption import project_at  # only plain `alembic` looks for the stack
    from infra.endpoints import database_url  # as above
    from infra.settings import CHECKOUT  # as above
    from schema.engine import owner_engine  # as above
    from schema.migration_lock import begin_work, migration_lock  # as above

    try:
        settings = Settings.load()
        owner = database_url(settings, Role.OWNER)
        with owner_engine(owner, settings).connect() as connection:
            if not moves():
                from schema.models import metadata  # migrating needs no models; `alembic check` does

                run(connection, metadata)
                return
            guard = Guard(project_at(CHECKOUT).id, context.get_x_argument(as_dictionary=True).get("i-mean", ""))
            with migration_lock(owner, settings):
                begin_work(driver_of(connection))
                rules = guard.rules(driver_of(connection), settings)
                connection.rollback()  # Alembic is to begin its own transactions
                with guarded(connection, rules):
                    run(connection, None)
    except (InfraError, SchemaError, Refused) as error:
        raise CommandError(str(error)) from error


attributes = context.config.attributes
if context.is_offline_mode():
    run(None, None)
elif "connection" in attributes:
    run(attributes["connection"], attributes.get("metadata"))
else:
    run_as_owner()
