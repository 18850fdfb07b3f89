"""Databases of a test's own: clones of a template that holds what the migrations make, and two tenants.

The template is made once on a server, whoever comes first. Some clones are made ahead, by a thread, and dropped by it.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import get_ident
from typing import Final
from uuid import UUID, uuid4

from psycopg.sql import SQL, Composed, Identifier
from sqlalchemy import text

from infra.config.digest import digest
from infra.config.settings import CHECKOUT, Role, Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.client.engine import create_engine
from schema.client.session import tenant_connection
from schema.migration.apply.guard import Guard
from schema.migration.apply.session import RunOptions
from schema.migration.apply.upgrade import upgrade
from schema.migration.files import Migrations
from schema.migration.shadow import drop_database, shadow_database
from schema.migration.shadow_template import key

PREFIX: Final = "groundwork_tests_"
_LOCK: Final = 0x67776D7465737473
_STRATEGIES: Final = 150000  # the first version that asks how
_AHEAD: Final = 3  # clones that are ready at most
TENANTS: Final = (UUID("00000000-0000-7000-8000-00000000000a"), UUID("00000000-0000-7000-8000-00000000000b"))
"""The two tenants that every test finds."""
_SIGN_UP = text("INSERT INTO tenants (tenant_id, name, slug) VALUES (:tenant, :name, :slug)")


def template_name(checkout: Path = CHECKOUT) -> str:
    """Return the name of the template of a checkout: it changes with all that makes its content."""
    made_by = key(checkout, Migrations.load(checkout).scripts.versions)
    return f"{PREFIX}{digest([Path(__file__)], made_by)[:16]}"


def ensure_template(owner: DatabaseUrl, user: DatabaseUrl, settings: Settings) -> str:
    """Return the name of the template, which is made where there is none; others that want it wait.

    Its name is given to it last, so that a template is whole or is none. Templates that other code made are dropped.

    Raises:
        DatabaseUnavailable: the server is away or refuses a role.
        MigrationError: a migration fails, or no database can be made; there is no template then.
    """
    name = template_name()
    with connect(owner, settings, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        templates = _templates(connection)
        if name not in templates:
            with shadow_database(owner, settings) as made:
                upgrade(made, settings, run_options=RunOptions(guard=Guard(confirm_database=made.database)))
                sign_up(user.on(made.database), settings, *TENANTS)
                rename = SQL("ALTER DATABASE {} RENAME TO {}")
                connection.execute(rename.format(Identifier(made.database), Identifier(name)))
        for stale in templates - {name}:
            drop_database(connection, stale)
    return name


def sign_up(user: DatabaseUrl, settings: Settings, *tenants: UUID) -> None:
    """Make tenants, each in its own context, as the application does."""
    engine = create_engine(user, settings)
    try:
        for tenant in tenants:
            with tenant_connection(engine, tenant) as connection:
                connection.execute(_SIGN_UP, {"tenant": tenant, "name": "Acme", "slug": f"acme-{tenant.hex[-12:]}"})
    finally:
        engine.dispose()


def _templates(connection: BoundedConnection) -> set[str]:
    question = "SELECT datname FROM pg_database WHERE datname ~ %s AND datdba = current_user::regrole"
    return {name for (name,) in connection.execute(question, [f"^{PREFIX}[0-9a-f]{{16}}$"])}


class Clones:
    """Makes clones of the template, and drops them; once a clone was asked for, the next ones are made ahead."""

    def __init__(self, owner: DatabaseUrl, settings: Settings, template: str) -> None:
        """Take the URL of the owner's database, from where clones are made."""
        self._owner = owner
        self._settings = settings
        self._template = template
        self._ready: deque[Future[str]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clones")
        self._made: set[str] = set()
        self._connections: dict[int, BoundedConnection] = {}
        self._taken = 0

    def take(self) -> str:
        """Return the name of a clone that nobody has used."""
        name = self._ready.popleft().result() if self._ready and self._ready[0].done() else self._make()
        self._taken += 1
        while len(self._ready) < min(self._taken, _AHEAD):
            self._ready.append(self._thread.submit(self._make))
        return name

    def drop(self, name: str) -> None:
        """Have a clone dropped, without waiting for it."""
        self._thread.submit(self._drop, name)

    def close(self, keep: frozenset[str] = frozenset()) -> None:
        """Drop all clones but those to keep."""
        self._thread.shutdown(cancel_futures=True)
        for name in self._made - keep:
            self._drop(name)
        for connection in self._connections.values():
            connection.close()

    def _make(self) -> str:
        name = f"{self._template}_{uuid4().hex[:12]}"
        connection = self._connected()
        create = SQL("CREATE DATABASE {} TEMPLATE {} ").format(Identifier(name), Identifier(self._template))
        connection.execute(create + _strategy(connection))
        connection.execute(_rights(name))
        self._made.add(name)
        return name

    def _drop(self, name: str) -> None:
        drop_database(self._connected(), name)
        self._made.discard(name)

    def _connected(self) -> BoundedConnection:
        """Return this thread's connection: what is made for a test does not wait for what is dropped."""
        thread = get_ident()
        if thread not in self._connections:
            self._connections[thread] = connect(self._owner, self._settings, autocommit=True)
        return self._connections[thread]


def _strategy(connection: BoundedConnection) -> SQL:
    """Return how to copy: by files where the server syncs none of them, which is quicker then; else by its log."""
    if connection.info.server_version < _STRATEGIES or connection.execute("SHOW fsync").fetchone() != ("off",):
        return SQL("")
    return SQL("STRATEGY file_copy")


def _rights(database: str) -> Composed:
    """Return what gives a clone the rights on the database itself, which it does not have from its template."""
    roles = SQL(", ").join(Identifier(str(role)) for role in Role)
    return SQL("REVOKE ALL ON DATABASE {0} FROM PUBLIC; GRANT CONNECT ON DATABASE {0} TO {1}").format(
        Identifier(database), roles
    )
