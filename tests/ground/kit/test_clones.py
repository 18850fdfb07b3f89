import os
import threading
from uuid import UUID

import pytest
from sqlalchemy import text

from infra.config.settings import Role
from schema.client import create_engine, tenant_connection
from schema.client.connection import BoundedConnection, connect
from schema.isolation.check import check
from schema.migration.apply.upgrade import upgrade
from schema.migration.shadow import drop_database
from tests.kit import clones
from tests.kit.clones import PREFIX, TENANTS, Clones, ensure_template
from tests.kit.product import Database
from tests.kit.stack import RunningStack

DATABASES = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
USERS = text("SELECT count(*) FROM users")


@pytest.fixture
def server(stack: RunningStack) -> BoundedConnection:
    """Give the owner's connection to the stack's database, in autocommit."""
    return connect(stack.url(Role.OWNER), stack.settings, autocommit=True)


def test_a_database_is_migrated_and_isolates(database: Database, stack: RunningStack) -> None:
    """A clone has the migrations, the rights on the database itself, and no finding of the isolation check."""
    check(database.owner, database.user, stack.settings).require()
    with connect(database.owner, stack.settings) as connection:
        question = "SELECT has_database_privilege(%s, current_database(), %s)"
        rights = [
            connection.execute(question, [str(Role.USER), right]).fetchone() for right in ("CONNECT", "TEMPORARY")
        ]
    assert rights == [(True,), (False,)]


def test_a_database_is_a_tests_own(database: Database, stack: RunningStack, tenant: UUID) -> None:
    """Commits are real, threads and tables that are dropped are its own, and the next clone shows nothing of it."""

    def write(number: int) -> None:
        with tenant_connection(database.engine, tenant) as connection:
            connection.execute(
                text("INSERT INTO users (tenant_id, external_id, email) VALUES (:t, :n, :n)"),
                {"t": tenant, "n": str(number)},
            )

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with tenant_connection(database.engine, tenant) as connection:
        assert connection.scalar(USERS) == len(threads)
    with connect(database.owner, stack.settings, autocommit=True) as owner:
        owner.execute("DROP TABLE tenant_features")
    owner_url = stack.url(Role.OWNER)
    others = Clones(owner_url, stack.settings, ensure_template(owner_url, stack.url(Role.USER), stack.settings))
    try:
        other = create_engine(stack.url(Role.USER).on(others.take()), stack.settings)
        with tenant_connection(other, tenant) as connection:
            assert connection.scalar(text("SELECT count(*) FROM tenant_features")) == 0
            assert connection.scalar(USERS) == 0
        other.dispose()
    finally:
        others.close()


def test_clones_leave_nothing(stack: RunningStack, server: BoundedConnection) -> None:
    """Those that were taken, those made ahead and those given back are gone in the end; one that is kept stays."""
    owner = stack.url(Role.OWNER)
    name = ensure_template(owner, stack.url(Role.USER), stack.settings)
    before = {found for (found,) in server.execute(DATABASES, [PREFIX])}
    made = Clones(owner, stack.settings, name)
    taken = [made.take() for _ in range(3)]
    assert len(set(taken)) == 3
    made.drop(taken[0])
    made.close(keep=frozenset(taken[1:2]))
    left = {found for (found,) in server.execute(DATABASES, [PREFIX])}
    assert taken[1] in left
    assert not left & {taken[0], taken[2]}
    drop_database(server, taken[1])
    assert left - before == {taken[1]}
    server.close()


def test_four_processes_make_one_template(
    stack: RunningStack, server: BoundedConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes first makes it, the others wait; it has the two tenants."""
    name = f"{PREFIX}{'0' * 16}"
    monkeypatch.setattr(clones, "template_name", lambda: name)
    monkeypatch.setattr(clones, "_templates", lambda connection: {*_made(connection)} & {name})
    counting, told = os.pipe()

    def counted(*arguments: object, **options: object) -> None:
        os.write(told, b"1")
        upgrade(*arguments, **options)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(clones, "upgrade", counted)
    children = [_forked(stack) for _ in range(4)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    os.close(told)
    assert os.read(counting, 10) == b"1"
    os.close(counting)
    with connect(stack.url(Role.MAINTENANCE).on(name), stack.settings) as connection:
        found = connection.execute("SELECT tenant_id FROM tenants ORDER BY 1").fetchall()
    assert found == [(tenant,) for tenant in TENANTS]
    drop_database(server, name)
    server.close()


def _made(connection: BoundedConnection) -> list[str]:
    return [found for (found,) in connection.execute(DATABASES, [PREFIX])]


def _forked(stack: RunningStack) -> int:
    child = os.fork()
    if child == 0:
        try:
            ensure_template(stack.url(Role.OWNER), stack.url(Role.USER), stack.settings)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return child
