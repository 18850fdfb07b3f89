"""Alembic's environment: on the connection of `schema.migration.apply`, or as the owner from plain `alembic`."""

from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData

from infra.config.errors import InfraError
from infra.config.settings import Role, Settings, function_schema
from schema.errors import SchemaError
from schema.migration.apply.guard import KEEP_VALUES, Guard, Refused, driver_of, guarded
from schema.migration.apply.recording import ignored, recorder
from schema.migration.settings import statements


def run(connection: Connection | None, metadata: MetaData | None) -> None:
    """Run what the command asks for; without a connection the SQL is printed (`--sql`)."""
    context.configure(
        connection=connection,
        dialect_name="postgresql",
        # Of the styles of parameters this one does not double a % in the SQL that is printed.
        dialect_opts={"paramstyle": "named"},
        literal_binds=connection is None,
        target_metadata=metadata,
        version_table_schema=function_schema(),
        transaction_per_migration=True,
        **({} if metadata is None else comparison()),
        on_version_apply=recorder(context.config.attributes.get("on_version_apply", ignored)),
    )
    if connection is None:
        for statement in statements():
            context.get_context().impl.static_output(f"{statement};")
    with context.begin_transaction():
        context.run_migrations()


def comparison() -> dict[str, Any]:
    """Return how models are compared, which migrating needs nothing of."""
    from schema.migration.diff.plugin import options  # see above; a tenth of a second
    from schema.migration.diff.rendering import render_item  # only `alembic revision` renders

    return {"compare_server_default": True, "render_item": render_item, **options()}


def moves() -> bool:
    """Return whether the command moves the database: upgrade, downgrade and stamp have a destination."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def run_as_owner() -> None:
    """Connect as the owner to the database that the settings or the running stack name.

    What changes the database waits for its turn, and loses data only where it may: `alembic -x confirm-database=app …`,
    and for a type that does not hold the values of its column `-x allow-data-loss=yes`.
    """
    from infra.config.endpoints import database_url  # only plain `alembic` looks for the stack
    from infra.config.identity import project_at  # only plain `alembic` looks for the stack
    from infra.config.settings import CHECKOUT  # only plain `alembic` connects
    from schema.migration.engine import owner_engine  # only plain `alembic` connects
    from schema.migration.lock import begin_work, migration_lock  # only plain `alembic` connects

    try:
        settings = Settings.load()
        owner = database_url(settings, Role.OWNER)
        with owner_engine(owner, settings).connect() as connection:
            if not moves():
                from schema.migration.models import load_models  # migrating needs no models; `alembic check` does

                run(connection, load_models())
                return
            words = context.get_x_argument(as_dictionary=True)
            guard = Guard(project_at(CHECKOUT).id, words.get("confirm-database") or words.get("i-mean", ""))
            with migration_lock(owner, settings):
                begin_work(driver_of(connection))
                rules = guard.rules(driver_of(connection), settings)
                rules += () if "allow-data-loss" in words else (KEEP_VALUES,)
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
