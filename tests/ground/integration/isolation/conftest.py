"""Migrated databases to damage: one a backend, for damage that is rolled back, and clones of it for the rest."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from psycopg.sql import SQL, Identifier

from infra.config.settings import CHECKOUT, Role
from infra.config.urls import DatabaseUrl
from schema.admin.grants import grant_rights
from schema.client.connection import BoundedConnection, connect
from schema.isolation.declarations import Declarations, sift
from schema.isolation.finding import Finding, judge
from schema.isolation.probe import Probed, probe
from schema.isolation.probe.factories import Factory
from schema.isolation.reading import read
from schema.isolation.rules import RULES
from schema.migration.apply.guard import Guard
from schema.migration.apply.session import RunOptions
from schema.migration.apply.upgrade import upgrade
from schema.migration.shadow import shadow_database
from tests.kit.stack import RunningStack

_ALLOWED = Declarations.load(CHECKOUT / "pyproject.toml").allowed
_numbers = count(1)

Attack = Callable[..., Probed]
"""Damage to a clone, and perhaps factories, to what came of the attacks on it."""

# Of two tenants, so that what is made in a damaged database has to hold for them.
_ROWS = """
    WITH made AS (INSERT INTO tenants (name, slug) VALUES ('A', 'a'), ('B', 'b') RETURNING tenant_id, slug)
    INSERT INTO users (tenant_id, external_id, email) SELECT tenant_id, slug, slug FROM made
"""


def broken(connection: BoundedConnection, user: str = str(Role.USER)) -> set[tuple[str, str]]:
    """Return what the catalogue's rules find beyond what the project allows: each rule and object."""
    return {(finding.rule, finding.object) for finding in findings(connection, user)}


def findings(connection: BoundedConnection, user: str = str(Role.USER)) -> tuple[Finding, ...]:
    """Return what the rules find beyond what the project allows, where the application connects as `user`."""
    return sift(judge(read(connection, user), RULES), _ALLOWED).findings


def found(probed: Probed) -> set[tuple[str, str]]:
    """Return each finding's attack and object."""
    return {(finding.rule.removeprefix("probe-"), finding.object) for finding in probed.findings}


def migration(checkout: Path, statement: str) -> None:
    """Add a migration that runs a statement."""
    folder = checkout / "migrations" / "versions"
    last = max(folder.glob("[0-9]*.py")).name.partition("_")[0]
    (folder / "9999_by_hand.py").write_text(
        f'"""By hand."""\n\nfrom alembic import op\n\nrevision = "9999"\ndown_revision = "{last}"\n\n\n'
        f'def upgrade() -> None:\n    """Go."""\n    op.execute({statement!r})\n\n\n'
        'def downgrade() -> None:\n    """Return."""\n'
    )


@contextmanager
def _migrated(stack: RunningStack) -> Iterator[DatabaseUrl]:
    with shadow_database(stack.url(Role.OWNER), stack.settings) as url:
        upgrade(url, stack.settings, run_options=RunOptions(guard=Guard(stack.project.id)))
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
        connection.execute(_ROWS)
        connection.commit()
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
def checkout(tmp_path: Path) -> Path:
    """Give a folder with the project's migrations, which may be changed."""
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


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


@pytest.fixture
def attack(clone: DatabaseUrl, stack: RunningStack) -> Attack:
    """Do damage to a clone, as the owner or after RESET ROLE as a superuser, and attack it."""

    def attack(statements: str, factories: Mapping[str, Factory] | None = None) -> Probed:
        admin = stack.admin.on(clone.database)
        with connect(admin, stack.settings, autocommit=True) as connection:
            connection.execute(b"SET ROLE app_owner;" + statements.encode())
            seeing = admin if "OWNER TO app_user" in statements else clone
        user = stack.url(Role.USER).on(clone.database)
        return probe(seeing, user, stack.settings, factories or {}, lambda _: None)

    return attack
