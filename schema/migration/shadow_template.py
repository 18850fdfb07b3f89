"""Shadow databases that begin where the migrations end: clones of a template that is made once."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from infra.config.digest import digest
from infra.config.extensions import declared_extensions
from infra.config.ground import ground, models_folder
from infra.config.settings import CHECKOUT, Settings, database_name
from infra.config.urls import DatabaseUrl
from schema.client.connection import connect
from schema.errors import MigrationError
from schema.migration.shadow import drop_database, shadow_database

_PREFIX = "groundwork_template_"
PREFIX = f"{_PREFIX}{database_name()}_"
Ephemeral = Callable[[], AbstractContextManager[DatabaseUrl]]
"""Starts a server that is gone when the block ends, and gives the URL of a database's owner on it."""

_PACKAGE = CHECKOUT / "schema"
_LIBRARIES = ("alembic", "psycopg", "sqlalchemy")
_MAY_CREATE = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"


def key(checkout: Path, versions: str | Path) -> str:
    """Return what a template stands for: the text of the migrations, and of the code that runs them.

    That is the environment, all of the package but the product's models, of which only what a migration imports, the
    versions of the libraries and the declared extensions. A template made by other code is never taken for this one's.
    """
    files = sorted(Path(versions).glob("*.py"))
    models = models_folder()
    code = [checkout / "migrations" / "env.py", *files, *_imported(models, files), *_but_models(models)]
    return digest(code, *map(version, _LIBRARIES), *declared_extensions(checkout))[:16]


def _imported(models: Path, files: Iterable[Path]) -> Iterator[Path]:
    """Yield the models that migrations import: as a module, and as a package with all that is in it."""
    pattern = re.compile(rf"^\s*(?:from|import)\s+{re.escape(ground().models)}\b([\w.]*)", re.MULTILINE)
    for module in sorted({name for file in files for name in pattern.findall(file.read_text(encoding="utf-8"))}):
        package = models.joinpath(*module.split("."))
        yield from (package.with_suffix(".py"), package)


def _but_models(models: Path) -> Iterator[Path]:
    """Yield what the package holds beside the product's models.

    What a model is changes nothing of what the migrations make, but where one of them imports it.
    """
    return (path for path in sorted(_PACKAGE.iterdir()) if path not in {models, _PACKAGE / "__pycache__"})


@contextmanager
def migrated_shadow(
    owner: DatabaseUrl | None,
    settings: Settings,
    template: str,
    migrate: Callable[[DatabaseUrl], None],
    ephemeral: Ephemeral | None = None,
) -> Iterator[DatabaseUrl]:
    """Give a migrated database on the owner's server, or on an ephemeral one; it is dropped when the block ends.

    The first one is migrated and becomes the template of the key `template`; from then on a database is a clone of it,
    with the rights applied again that a clone does not have. Templates of other keys are dropped.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: no database can be made, or a migration fails.
    """
    with ExitStack() as undo:
        serving = undo.enter_context(_server(owner, settings, ephemeral))
        name = f"{PREFIX}{template}"
        if not _exists(serving, settings, name):
            with shadow_database(serving, settings) as made:
                migrate(made)
                _rename(serving, settings, made.database, name)
        yield undo.enter_context(shadow_database(serving, settings, name))


@contextmanager
def _server(owner: DatabaseUrl | None, settings: Settings, ephemeral: Ephemeral | None) -> Iterator[DatabaseUrl]:
    if ephemeral is not None and (owner is None or not _may_create(owner, settings)):
        with ephemeral() as url:
            yield url
    elif owner is None:
        raise MigrationError("There is no server for a shadow database. Run `invoke up`.")
    else:
        yield owner


def _may_create(owner: DatabaseUrl, settings: Settings) -> bool:
    with connect(owner, settings, autocommit=True) as connection:
        return connection.execute(_MAY_CREATE).fetchone() == (True,)


def _exists(owner: DatabaseUrl, settings: Settings, name: str) -> bool:
    """Return whether the template is there, and drop those of other keys."""
    every = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND datdba = current_user::regrole"
    with connect(owner, settings, autocommit=True) as connection:
        found = [database for (database,) in connection.execute(every, [_PREFIX])]
        for stale in found:
            if stale != name:
                drop_database(connection, stale)
    return name in found


def _rename(owner: DatabaseUrl, settings: Settings, database: str, name: str) -> None:
    """Make a finished database the template; the name is what marks it as finished."""
    with connect(owner, settings, autocommit=True) as connection:
        try:
            connection.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(database), Identifier(name)))
        except psycopg.errors.DuplicateDatabase:
            return  # another run was as quick: the two are the same
