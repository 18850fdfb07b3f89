"""A PostgreSQL server of a run's own that nobody has prepared, its superuser, and a managed server's administrator."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from infra.backends.embedded.backend import EmbeddedBackend
from infra.config.endpoints import admin_url
from infra.config.extensions import TEMPLATE
from infra.config.identity import Project
from infra.config.secret import Secret
from infra.config.settings import CHECKOUT, BackendChoice, Role, database_name, logins
from infra.config.sql_text import quote
from infra.config.urls import DatabaseUrl
from infra.declaration.spec import build_stack
from infra.stack.locks import project_lock
from infra.stack.ports import choose_ports, spec_ports
from infra.stack.probes import probe_postgres
from infra.stack.waiting import wait_until_ready
from schema.client.connection import connect
from tests.kit.availability import needed_psql, needs
from tests.kit.stack import WORKER, make_settings, say

SETTINGS = make_settings(APP_ENV="test", DATABASE_CONNECT_DEADLINE="1")


@pytest.fixture(scope="module")
def bare_server(request: pytest.FixtureRequest) -> Iterator[DatabaseUrl]:
    """Give the superuser's URL of a server of its own, which nobody has prepared."""
    needs(BackendChoice.EMBEDDED, request.config)
    project = Project.of(CHECKOUT, f"bare{WORKER}")
    with project_lock(project, say), ExitStack() as undo:
        spec = build_stack(SETTINGS, project, durable=False)
        embedded = EmbeddedBackend(spec.project, durable=False)
        embedded.down(volumes=True)
        spec = spec.on_ports(choose_ports(spec, {}, {}, say))
        undo.callback(embedded.down, volumes=True)
        embedded.up(spec, undo)
        url = admin_url(SETTINGS, spec_ports(spec))
        wait_until_ready(
            lambda: probe_postgres(url, spec.project.id, spec.postgres.version),
            lambda: None,
            SETTINGS.stack_start_timeout,
        )
        yield url


@pytest.fixture
def superuser(bare_server: DatabaseUrl) -> Iterator[DatabaseUrl]:
    """Give the superuser; what the test made of the product is gone afterwards."""
    yield bare_server
    _remove_product(bare_server)


@pytest.fixture
def manager(superuser: DatabaseUrl) -> Iterator[DatabaseUrl]:
    """Give an administrator who may create roles and databases, and nothing else."""
    ask(superuser, "CREATE ROLE manager LOGIN CREATEROLE CREATEDB PASSWORD 'managed'")
    yield replace(superuser, user="manager", password=Secret("managed"))
    _remove_product(superuser)
    ask(superuser, "DROP ROLE manager")


def _remove_product(superuser: DatabaseUrl) -> None:
    """Drop its databases, those that generate and check keep among them, and its roles."""
    owned = f"pg_get_userbyid(datdba) = '{Role.OWNER}' OR datname IN ('{database_name()}', '{TEMPLATE}')"
    ask(superuser, f"UPDATE pg_database SET datistemplate = false WHERE {owned}")
    for (name,) in ask(superuser, f"SELECT datname FROM pg_database WHERE {owned}"):
        ask(superuser, f"DROP DATABASE {quote(name)} WITH (FORCE)")
    ask(superuser, *(f"DROP ROLE IF EXISTS {login}" for role in Role for login in logins(role)[::-1]))


def ask(url: DatabaseUrl, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements and return the rows of the last one."""
    rows: list[tuple[Any, ...]] = []
    with connect(url, SETTINGS, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
            rows = cursor.fetchall() if cursor.description else []
    return rows


def role_at(superuser: DatabaseUrl, role: Role) -> DatabaseUrl:
    """Return a role's URL of the product's database on the superuser's server."""
    return replace(superuser.on(database_name()), user=str(role), password=SETTINGS.role_password(role))


def psql(url: DatabaseUrl, text: str) -> "subprocess.CompletedProcess[str]":
    """Run a script with psql, as an administrator would."""
    return subprocess.run(
        [needed_psql(), "-X", "-d", str(url), "-f", "-"],
        input=text,
        env=os.environ | {"PGPASSWORD": url.password.reveal()},
        capture_output=True,
        text=True,
        check=False,
    )
