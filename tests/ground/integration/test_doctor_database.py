"""`doctor --database` on a server that nobody has prepared, well and damaged, directly and through a pooler."""

import re
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from infra.commands.doctor.database.examine import _judge_states, examine_database
from infra.commands.doctor.findings import Finding, Level, exit_code
from infra.config.identity import Project
from infra.config.settings import Role
from infra.config.urls import DatabaseUrl
from schema.admin.bootstrap import bootstrap
from schema.admin.roles import lasting_requirements
from schema.client.connection import connect
from tests.kit.bare_server import SETTINGS, ask, role_at
from tests.kit.pooler import pooler

pytestmark = pytest.mark.slow
Look = Callable[..., tuple[Finding, ...]]
_KEYS = {Role.USER: "DATABASE_URL", Role.OWNER: "DATABASE_OWNER_URL", Role.MAINTENANCE: "DATABASE_MAINTENANCE_URL"}
HIDDEN = [" write-ahead log", " standbys", " transactions of others"]
_IGNORING = "ignore_startup_parameters = options"


@pytest.fixture
def look(superuser: DatabaseUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Give what examines the server, as an administrator and with other URLs for roles where they are given."""

    def examine(admin: DatabaseUrl = superuser, **urls: DatabaseUrl) -> tuple[Finding, ...]:
        for role, key in _KEYS.items():
            monkeypatch.setenv(key, urls.get(role.name.lower(), role_at(superuser, role)).libpq())
        monkeypatch.setenv("DATABASE_ADMIN_URL", admin.libpq())
        return examine_database(tmp_path, Project.of(tmp_path))

    return examine


def faults(found: Iterable[Finding]) -> dict[str, Level]:
    """Return what is not well, but for the durability that the tests' servers go without."""
    return {each.subject: each.level for each in found if each.level is not Level.OK and "crash" not in each.found}


def test_a_prepared_server_is_well(superuser: DatabaseUrl, look: Look) -> None:
    """After bootstrap nothing is wrong, a superuser sees all of it, and no password is shown."""
    bootstrap(superuser, SETTINGS)
    found = look()
    assert faults(found) == {}
    assert "not seen" not in {each.subject for each in found}
    assert "logs in to app " in next(each.found for each in found if each.subject == "administrator")
    assert not [role for role in Role if SETTINGS.role_password(role).reveal() in str(found)]


def test_an_administrator_sees_what_it_may(superuser: DatabaseUrl, manager: DatabaseUrl, look: Look) -> None:
    """Without a superuser nothing fails; what that one does not see is named with the right that shows it."""
    bootstrap(manager, SETTINGS)
    found = look(manager)
    assert faults(found) == {"roles": Level.WARN}
    unseen = next(each.found for each in found if each.subject == "not seen")
    assert re.findall(r"([\w -]+): it takes GRANT pg_monitor", unseen) == HIDDEN
    ask(superuser, "GRANT pg_monitor TO manager")
    assert "not seen" not in {each.subject for each in look(manager)}


@pytest.mark.parametrize(
    ("damage", "subject", "code"),
    [
        ("ALTER ROLE app_owner NOLOGIN", "app_owner", 4),
        ("ALTER ROLE app_user PASSWORD 'another'", "app_user", 4),
        ("ALTER ROLE app_user BYPASSRLS", "app_user", 6),
        ("GRANT app_owner TO app_user", "roles", 4),
        ("ALTER ROLE app_maintenance NOBYPASSRLS", "roles", 0),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "rights", 4),
        ("ALTER ROLE app_user CONNECTION LIMIT 5", "connections", 0),
        ("ALTER ROLE app_user SET row_security = off", "parameters", 4),
        ("ALTER DATABASE app SET default_transaction_read_only = on", "parameters", 4),
        ("ALTER DATABASE app SET statement_timeout = '2min'", "parameters", 0),
    ],
)
def test_what_was_changed_is_found(damage: str, subject: str, code: int, superuser: DatabaseUrl, look: Look) -> None:
    """What keeps the product from working is a failure with its exit code, the rest is a warning; each has a remedy."""
    bootstrap(superuser, SETTINGS)
    ask(superuser.on("app"), damage)
    found = look()
    assert faults(found)[subject] is (Level.FAIL if code else Level.WARN)
    assert all(each.remedy for each in found if each.level is not Level.OK)
    assert exit_code(found) == code


def test_an_extension_that_was_not_made_is_found(superuser: DatabaseUrl, look: Look, tmp_path: Path) -> None:
    """What pyproject.toml declares is looked for in the product's own database."""
    bootstrap(superuser, SETTINGS)
    (tmp_path / "pyproject.toml").write_text('[tool.groundwork]\nextensions = ["vector"]\n')
    assert faults(look()) == {"extensions": Level.FAIL}
    ask(superuser.on("app"), "CREATE EXTENSION vector")
    assert faults(look()) == {}


def test_a_server_that_nobody_prepared_is_named(look: Look) -> None:
    """Where there is neither role nor database, each login fails with what to do, and the administrator still looks."""
    found = look()
    assert {"app_user", "app_owner", "app_maintenance", "roles"} <= faults(found).keys()
    assert all("invoke bootstrap" in each.remedy for each in found if each.level is Level.FAIL)


def test_a_server_that_never_answers_is_given_up(superuser: DatabaseUrl, look: Look) -> None:
    """A host that takes connections and says nothing is tried once, and all else is still looked at."""
    bootstrap(superuser, SETTINGS)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        port = deaf.getsockname()[1]
        found = look(user=replace(role_at(superuser, Role.USER), port=port))
    assert faults(found) == {"app_user": Level.FAIL}


def test_a_server_that_goes_away_meanwhile_is_no_traceback(superuser: DatabaseUrl, look: Look) -> None:
    """Where a connection ends on the way, a finding says so and the rest is still looked at."""
    bootstrap(superuser, SETTINGS)
    ask(superuser, "ALTER ROLE app_owner SET idle_session_timeout = '1ms'")
    assert faults(look()) == {"app_owner": Level.FAIL, "rights": Level.WARN}
    with connect(superuser, SETTINGS) as lost:
        lost.close()
        assert [each.level for each in _judge_states("roles", lost, lasting_requirements(SETTINGS))] == [Level.FAIL]


def by_pooler(found: Iterable[Finding]) -> list[Level]:
    """Return the levels of what is said of poolers."""
    return [each.level for each in found if each.subject == "pooler"]


@pytest.mark.parametrize(
    ("mode", "user", "owner"),
    [
        ("session", Level.OK, Level.OK),
        ("transaction", Level.FAIL, Level.FAIL),
        ("statement", Level.FAIL, Level.FAIL),
    ],
)
def test_a_pooler_is_known_by_its_behaviour(
    mode: str, user: Level, owner: Level, superuser: DatabaseUrl, look: Look
) -> None:
    """Its mode decides what works through it: PgBouncer 1.18 keeps no prepared statements over transactions."""
    bootstrap(superuser, SETTINGS)
    ask(superuser, "ALTER ROLE app_user SET statement_timeout = '30s'")
    with pooler(superuser, mode, _IGNORING) as through:
        assert by_pooler(look(user=through)) == [user]
        assert by_pooler(look(owner=role_at(replace(superuser, port=through.port), Role.OWNER))) == [owner]


def test_a_pooler_of_one_is_known_too(superuser: DatabaseUrl, look: Look) -> None:
    """A second client that has to wait for the first one's process does not make doctor wait for ever."""
    bootstrap(superuser, SETTINGS)
    ask(superuser, "ALTER ROLE app_user SET statement_timeout = '30s'")
    with pooler(superuser, "session", _IGNORING, "default_pool_size = 1") as through:
        assert by_pooler(look(user=through)) == [Level.OK]


def test_what_a_pooler_drops_or_refuses_is_said(superuser: DatabaseUrl, look: Look) -> None:
    """A session's settings that are dropped are a warning; where they are refused, the login fails with what to do."""
    bootstrap(superuser, SETTINGS)
    with pooler(superuser, "session", _IGNORING) as through:
        assert by_pooler(look(user=through)) == [Level.OK, Level.WARN]
    with pooler(superuser, "session") as through:
        (refused,) = [each for each in look(user=through) if each.level is Level.FAIL]
    assert "ignore_startup_parameters" in refused.remedy


def test_nothing_stays_in_sessions_that_others_get(superuser: DatabaseUrl, look: Look) -> None:
    """After doctor the processes of a pooler have neither prepared statements nor locks of it."""
    bootstrap(superuser, SETTINGS)
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    count = f"SELECT (SELECT count(*) FROM pg_prepared_statements), ({locks})"
    with pooler(superuser, "transaction", _IGNORING) as through, ExitStack() as stack:
        look(user=through)
        both = [stack.enter_context(connect(through, SETTINGS)) for _ in range(2)]
        assert [connection.execute(count.encode()).fetchone() for connection in both] == [(0, 0), (0, 0)]
