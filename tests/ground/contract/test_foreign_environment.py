"""What the shell's variables for other servers do to the stack's connections: nothing."""

import asyncio
import shutil
from pathlib import Path

import pytest
from psycopg import pq

from infra.config.identity import Service
from infra.config.settings import Role, SslMode
from infra.stack.probes import probe_postgres, probe_redis
from schema.client.aio.connection import connect as connect_async
from schema.client.connection import connect
from tests.kit.checkout import Checkout

pytestmark = pytest.mark.quick_on_one

# Libpq's own list, and what its manual names besides (34.15). "nonsense" is an error wherever it is read.
VARIABLES = {option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
VARIABLES |= {"PGSERVICEFILE", "PGSYSCONFDIR", "PGREQUIRESSL", "PGLOCALEDIR", "PGGEQO"}
HOSTILE = dict.fromkeys(sorted(VARIABLES), "nonsense") | {
    "PGHOST": "127.0.0.9",
    "PGHOSTADDR": "127.0.0.9",
    "PGPORT": "9",
    "PGUSER": "nobody",
    "PGPASSWORD": "wrong",
    "PGDATABASE": "nowhere",
    "PGOPTIONS": "-c default_transaction_read_only=on -c search_path=evil",
    "PGSSLMODE": "verify-full",
    "PGREQUIRESSL": "1",
    "PGREQUIREAUTH": "none",
    "PGTARGETSESSIONATTRS": "standby",
    "PGGEQO": "on",  # a session's setting, which a server refuses when it is nonsense
}


@pytest.fixture
def service_file(tmp_path: Path) -> str:
    """Give a service file that sends its service to another server, over TLS alone."""
    path = tmp_path / "pg_service.conf"
    path.write_text("[elsewhere]\nhostaddr=127.0.0.9\nsslmode=require\nconnect_timeout=1\n")
    return str(path)


def require_reached(served: Checkout) -> None:
    """Claim that each kind of connection that a process makes reaches the stack."""
    settings, user = served.settings, served.url(Role.USER)
    probe_postgres(user, served.project.id, settings.postgres_version)
    probe_redis(served.ports[Service.REDIS], settings.redis_password, settings.redis_version)
    with connect(user, settings, autocommit=True) as connection:
        answer = connection.execute("SELECT current_setting('cluster_name'), current_setting('search_path')")
        assert answer.fetchone() == (served.project.id, '"$user", public')

    async def ask() -> None:
        async with await connect_async(user, settings, {}) as connection:
            assert connection.info.host == "127.0.0.1"

    asyncio.run(ask())


@pytest.mark.parametrize("variable", HOSTILE)
def test_no_variable_of_libpq_reaches_a_connection(
    served: Checkout, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """No variable that libpq reads changes where a probe or a client connects, how TLS is checked or how it waits."""
    monkeypatch.setenv(variable, HOSTILE[variable])
    require_reached(served)


def test_no_service_reaches_a_connection(served: Checkout, monkeypatch: pytest.MonkeyPatch, service_file: str) -> None:
    """A service that exists adds nothing to a connection either: neither host nor TLS."""
    monkeypatch.setenv("PGSERVICEFILE", service_file)
    monkeypatch.setenv("PGSERVICE", "elsewhere")
    require_reached(served)


def test_no_variable_of_libpq_reaches_a_command(served: Checkout, service_file: str) -> None:
    """With every variable set at once each kind of command answers from this stack.

    The kind: a connection that is not described in full, whichever command or client program makes it.
    """
    hostile = HOSTILE | {"PGSERVICE": "elsewhere", "PGSERVICEFILE": service_file}
    query = "SELECT current_user || '|' || current_setting('cluster_name') || '|' || current_setting('search_path');"
    done = served.pipe(query, "psql", **hostile)
    assert f'{Role.OWNER}|{served.project.id}|"$user", public' in done.stdout, done.stderr
    assert "0001" in served.succeed("history", **hostile).stdout
    assert served.succeed("doctor", **hostile).stdout.count("serves at") == 2


def test_production_shows_nobody_a_plain_text_shell(served: Checkout) -> None:
    """In production no command of the stack goes on without TLS unless DATABASE_SSLMODE says so.

    `psql` connects to a server elsewhere with the policy of the settings, and to the stack's own not at all; `doctor`
    says beforehand that `up` refuses.
    """
    query, elsewhere = "SELECT 'answered';", {"DATABASE_URL": served.url(Role.USER).libpq()}
    for environ in ({}, elsewhere):
        refused = served.pipe(query, "psql", APP_ENV="production", **environ)
        # For another server the wheel's psql, which speaks no TLS, is refused before it is started.
        code = 3 if environ and shutil.which("psql") is None else 2
        assert (refused.returncode, "answered" in refused.stdout) == (code, False)
        assert "SSL" in refused.stderr.upper()
        allowed = served.pipe(query, "psql", APP_ENV="production", DATABASE_SSLMODE=SslMode.PREFER, **environ)
        assert "answered" in allowed.stdout, allowed.stderr
    doctor, up = (served.invoke(command, APP_ENV="production") for command in ("doctor", "up"))
    assert doctor.returncode == up.returncode == 2
    for said in (doctor.stdout, up.stderr):
        assert "DATABASE_SSLMODE=prefer" in said
