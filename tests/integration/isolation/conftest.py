"""Migrated databases to damage: one a backend, for damage that is rolled back, and clones of it for the rest."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest
from psycopg.sql import SQL, Identifier

from infra.settings import CHECKOUT, Role
from infra.urls import DatabaseUrl
from schema.applying.changing import Manner
from schema.applying.guard import Guard
from schema.applying.upgrade import upgrade
from schema.connect import BoundedConnection, connect
from schema.isolation.declarations import Declarations, sift
from schema.isolation.finding import Finding, judge
from schema.isolation.reading import read
from schema.isolation.rules import RULES
from schema.rights import grant_rights
from schema.shadow import shadow_database
from tests.fixtures.stack import RunningStack

_ALLOWED = Declarations.load(CHECKOUT / "pyproject.toml").allowed
_numbers = count(1)


def broken(connection: BoundedConnection) -> set[tuple[str, str]]:
    """Return what the catalogue's rules find beyond what the project allows: each rule and object."""
    return {(finding.rule, finding.object) for finding in findings(connection)}


def findings(connection: BoundedConnection) -> tuple[Finding, ...]:
    """Return what the catalogue's rules find beyond what the project allows."""
    return sift(judge(read(connection), RULES), _ALLOWED).findings


@contextmanager
def _migrated(stack: RunningStack) -> Iterator[DatabaseUrl]:
    with shadow_database(stack.url(Role.OWNER), stack.settings) as url:
        upgrade(url, stack.settings, manner=Manner(guard=Guard(stack.project.id)))
        yield url


@contextmanager
def _cloned(template: DatabaseUrl, stack: RunningStack) -> Iterator[DatabaseUrl]:
    clone = template.on(f"{template.database}_{next(_numbers)}")
    names = Identifier(clone.database), Identifier(template.database)
    with connect(stack.url(Role.OWNER), stack.settings, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
    try:
        with connect(clone, stack.settings) as inside:
            grant_rights(inside)
        yield clone
    finally:
        with connect(stack.admin, stack.settings, autocommit=True) as admin:
            admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(names[0]))


@contextmanager
def _damageable(template: DatabaseUrl, stack: RunningStack) -> Iterator[BoundedConnection]:
    with (
        _cloned(template, stack) as clone,
        connect(stack.admin.on(clone.database), stack.settings) as connection,
    ):
        yield connection


@pytest.fixture(scope="session")
def docker_migrated(docker_stack: RunningStack) -> Iterator[DatabaseUrl]:
    """Give the owner's URL of a migrated database on containers."""
    with _migrated(docker_stack) as url:
        yield url


@pytest.fixture(scope="session")
def embedded_migrated(embedded_stack: RunningStack) -> Iterator[DatabaseUrl]:
    """Give the owner's URL of a migrated database on plain processes."""
    with _migrated(embedded_stack) as url:
        yield url


@pytest.fixture(scope="session")
def docker_damage(docker_migrated: DatabaseUrl, docker_stack: RunningStack) -> Iterator[BoundedConnection]:
    """Give a superuser's connection to a clone on containers, which the tests share: its caches stay warm."""
    with _damageable(docker_migrated, docker_stack) as connection:
        yield connection


@pytest.fixture(scope="session")
def embedded_damage(embedded_migrated: DatabaseUrl, embedded_stack: RunningStack) -> Iterator[BoundedConnection]:
    """Give a superuser's connection to a clone on plain processes, which the tests share."""
    with _damageable(embedded_migrated, embedded_stack) as connection:
        yield connection


@pytest.fixture
def migrated(stack: RunningStack, request: pytest.FixtureRequest) -> DatabaseUrl:
    """Give the owner's URL of a migrated database that every test leaves as it was."""
    url: DatabaseUrl = request.getfixturevalue(f"{stack.backend}_migrated")
    return url


@pytest.fixture
def damage(stack: RunningStack, request: pytest.FixtureRequest) -> Iterator[BoundedConnection]:
    """Give a superuser's connection to a migrated database; whatever it does is rolled back."""
    connection: BoundedConnection = request.getfixturevalue(f"{stack.backend}_damage")
    with connection.transaction(force_rollback=True):
        yield connection


@pytest.fixture
def clone(migrated: DatabaseUrl, stack: RunningStack) -> Iterator[DatabaseUrl]:
    """Give the owner's URL of a clone of the migrated database, to be damaged for good."""
    with _cloned(migrated, stack) as url:
        yield url
