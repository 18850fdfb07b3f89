"""Extensions that the product declares, on a server that has none of them in its databases."""

from dataclasses import replace
from typing import Any

import pytest

from infra.config.extensions import TEMPLATE
from infra.config.settings import AppEnv, Role, SslMode
from infra.config.urls import DatabaseUrl
from schema.admin import roles
from schema.admin.bootstrap import script
from schema.client.connection import connect
from schema.errors import ExtensionError, MigrationError
from schema.migration.shadow import shadow_database
from tests.kit.bare_server import SETTINGS, ask, psql, role_at

VECTOR = ("vector",)
MADE = "SELECT extname::text FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
TEMPLATES = f"SELECT datname::text FROM pg_database WHERE datname = '{TEMPLATE}'"


def in_shadow(superuser: DatabaseUrl, extensions: tuple[str, ...], question: str) -> list[tuple[Any, ...]]:
    """Ask a question in a shadow database of the owner's."""
    with shadow_database(role_at(superuser, Role.OWNER), SETTINGS, extensions=extensions) as shadow:
        return ask(shadow, question)


def test_declared_extensions_are_in_the_database_and_in_shadow_databases(superuser: DatabaseUrl) -> None:
    """The owner, who may not make it, has a database with it; a second run makes nothing."""
    roles.ensure(superuser, SETTINGS, VECTOR)
    assert ask(superuser.on("app"), MADE) == [VECTOR]
    assert in_shadow(superuser, VECTOR, "SELECT '[1,2]'::vector::text") == [("[1,2]",)]
    assert roles.ensure(superuser, SETTINGS, VECTOR).made == ()


def test_a_shadow_database_has_what_is_declared_now(superuser: DatabaseUrl) -> None:
    """Without a declaration it has none, and the database keeps what may hold data; with one too many it is refused."""
    roles.ensure(superuser, SETTINGS, VECTOR)
    with pytest.raises(MigrationError):
        in_shadow(superuser, (*VECTOR, "hstore"), MADE)
    roles.ensure(superuser, SETTINGS, ())
    assert in_shadow(superuser, (), MADE) == []
    assert ask(superuser.on("app"), MADE) == [VECTOR]
    assert ask(superuser, TEMPLATES) == []


@pytest.mark.parametrize("note", ["NULL", "'for shadow databases, unfinished; extensions: vector'"])
def test_a_killed_preparation_is_not_taken_for_a_whole_one(note: str, superuser: DatabaseUrl) -> None:
    """A database to clone that was never marked as complete is finished, or made again."""
    roles.ensure(superuser, SETTINGS, VECTOR)
    ask(superuser, f"COMMENT ON DATABASE {TEMPLATE} IS {note}")
    ask(superuser.on(TEMPLATE), "DROP EXTENSION vector")
    roles.ensure(superuser, SETTINGS, VECTOR)
    assert in_shadow(superuser, VECTOR, MADE) == [VECTOR]


def test_production_has_no_database_to_clone(superuser: DatabaseUrl) -> None:
    """There nobody makes databases from it."""
    roles.ensure(superuser, replace(SETTINGS, app_env=AppEnv.PRODUCTION, database_sslmode=SslMode.PREFER), VECTOR)
    assert ask(superuser.on("app"), MADE) == [VECTOR]
    assert ask(superuser, TEMPLATES) == []


@pytest.mark.parametrize("name", ["no_such_extension", "uuid-ossp"])
def test_an_extension_that_the_server_lacks_is_named(name: str, superuser: DatabaseUrl) -> None:
    """It is an error of its own, and the owner gets no shadow database without it."""
    with pytest.raises(ExtensionError) as refused:
        roles.ensure(superuser, SETTINGS, (*VECTOR, name))
    assert refused.value.extension == name
    with pytest.raises(MigrationError):
        in_shadow(superuser, (*VECTOR, name), MADE)


def test_an_administrator_who_may_not_make_one_is_told_who_may(superuser: DatabaseUrl, manager: DatabaseUrl) -> None:
    """Once a superuser has made it where it says, the same command goes on."""
    with pytest.raises(ExtensionError, match='superuser run CREATE EXTENSION "vector" CASCADE in database app') as told:
        roles.ensure(manager, SETTINGS, VECTOR)
    assert told.value.extension == "vector"
    ask(superuser.on("app"), "CREATE EXTENSION vector SCHEMA public")
    with pytest.raises(ExtensionError, match=f"in database {TEMPLATE}"):
        roles.ensure(manager, SETTINGS, VECTOR)
    ask(superuser.on(TEMPLATE), "CREATE EXTENSION vector SCHEMA public")
    roles.ensure(manager, SETTINGS, VECTOR)
    assert in_shadow(superuser, VECTOR, MADE) == [VECTOR]


def test_the_script_makes_them_too(superuser: DatabaseUrl) -> None:
    """What psql makes of it leaves `ensure` nothing to do, and it can be run again."""
    for done in (psql(superuser, script(SETTINGS, VECTOR)), psql(superuser, script(SETTINGS, VECTOR))):
        assert done.returncode == 0, done.stderr
    assert roles.ensure(superuser, SETTINGS, VECTOR).made == ()
    assert in_shadow(superuser, VECTOR, MADE) == [VECTOR]


def test_extensions_in_the_administrators_own_schema_would_be_found_by_nobody(superuser: DatabaseUrl) -> None:
    """They are made in public, although a schema is named after who makes them."""
    roles.ensure(superuser, SETTINGS, ())
    ask(superuser.on("app"), f'CREATE SCHEMA "{superuser.user}"')
    roles.ensure(superuser, SETTINGS, VECTOR)
    with connect(role_at(superuser, Role.USER), SETTINGS) as user:
        assert user.execute("SELECT '[1]'::vector::text").fetchone() == ("[1]",)
