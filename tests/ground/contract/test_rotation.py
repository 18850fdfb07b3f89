"""A password is changed while clients connect without a pause: none of them is refused."""

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Event, Thread

import psycopg
import pytest

from infra.config.libpq import parameters
from infra.config.settings import Role, SslMode, logins
from infra.config.urls import DatabaseUrl
from tests.kit.checkout import Checkout

pytestmark = pytest.mark.slow

STARTED = "SELECT pg_postmaster_start_time()"


class Client(Thread):
    """Opens a new connection as often as it can, each time by the URL that is asked for; notes what refuses it."""

    def __init__(self, url: Callable[[], DatabaseUrl]) -> None:
        super().__init__(daemon=True)
        self.refused: list[str] = []
        self._url, self._served, self._more, self._ended = url, 0, Condition(), Event()

    def run(self) -> None:
        """Connect until it is told to stop, or is refused."""
        while not self._ended.is_set() and not self.refused:
            try:
                with psycopg.connect(**parameters(self._url(), SslMode.PREFER, 10)) as connection:
                    connection.execute("SELECT 1")
            except Exception as error:
                self.refused.append(str(error))
            with self._more:
                self._served += 1
                self._more.notify_all()

    def go_on(self) -> None:
        """Wait until it has begun and ended some more connections, and claim that all of them were served."""
        with self._more:
            enough = self._served + 5
            self._more.wait_for(lambda: self._served >= enough or self.refused, timeout=60)
        assert not self.refused

    def stop(self) -> None:
        """End it, and claim that it was always served."""
        self._ended.set()
        self.join()
        assert not self.refused


@contextmanager
def connecting(url: Callable[[], DatabaseUrl]) -> Iterator[Client]:
    """Give a client that connects without a pause."""
    client = Client(url)
    client.start()
    try:
        client.go_on()
        yield client
    finally:
        client.stop()


def connect(url: DatabaseUrl) -> "psycopg.Connection[tuple[object, ...]]":
    """Connect once."""
    return psycopg.connect(**parameters(url, SslMode.PREFER, 10))


@pytest.mark.parametrize("role", Role)
def test_no_connection_is_refused_while_a_password_changes(checkout: Checkout, role: Role) -> None:
    """Processes that keep the former password and those that read `.env` each time are served, over two rotations.

    The former login is retired only when nothing is connected by it, and is refused from then on.
    """
    checkout.succeed("up", "migrate")
    started = checkout.query(Role.OWNER, STARTED)
    with connecting(lambda: checkout.url(role)) as reader:
        for own, other in (logins(role), logins(role)[::-1]):
            former = checkout.url(role)
            assert former.user == own
            with connecting(lambda url=former: url) as keeper:  # type: ignore[misc]  # a default is what binds it now
                checkout.succeed("rotate", role.name.lower())
                assert checkout.url(role).user == other
                for client in (reader, keeper):
                    client.go_on()
                checkout.succeed("up", "check")
                for client in (reader, keeper):
                    client.go_on()
            with connect(former):
                assert checkout.invoke("rotate", role.name.lower(), "--retire", own).returncode == 4
            checkout.succeed("rotate", role.name.lower(), "--retire", own)
            with pytest.raises(psycopg.OperationalError):
                connect(former)
            reader.go_on()
    assert checkout.query(Role.OWNER, STARTED) == started
    assert not [secret for secret in checkout.secrets() if any(secret in said for said in checkout.said)]


def test_a_login_that_takes_its_turn_is_as_good_as_its_role(checkout: Checkout) -> None:
    """With the alternate logins of all roles the next hour is as any other: what the owner makes is the role's own.

    Their passwords survive that the data is given up, and are never those of the logins before.
    """
    checkout.succeed("up", "migrate")
    for role in Role:
        checkout.succeed("rotate", role.name.lower())
        checkout.succeed("rotate", role.name.lower(), "--retire", str(role))
    (tenant,) = checkout.succeed("tenants-create", "Acme").stdout.split()
    assert checkout.query(Role.MAINTENANCE, "SELECT tenant_id::text FROM tenants") == [(tenant,)]
    with connect(checkout.url(Role.OWNER)) as owner:
        owner.execute("CREATE TABLE made (id int)")
        assert owner.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'made'").fetchall() == [("app_owner",)]
        owner.rollback()
    checkout.succeed("generate", "--check")
    checkout.succeed("check")
    checkout.succeed("bootstrap")
    assert checkout.status()["services"]["postgres"]["url"].startswith("postgresql://app_user_b@")
    checkout.succeed("down", "--volumes", "--yes")
    checkout.succeed("up", "migrate", "check")


def test_the_url_of_another_server_goes_into_a_file_that_is_named(checkout: Checkout, tmp_path: Path) -> None:
    """The file is new and its user's alone, and holds the new URL; the settings and `.env` stay as they are."""
    checkout.succeed("up", "migrate")
    former, env_file, new = checkout.url(Role.USER), checkout.path / ".env", tmp_path / "new"
    external = {
        "DATABASE_URL": former.libpq(),
        "DATABASE_ADMIN_URL": f"postgresql://postgres:{checkout.settings.postgres_password.reveal()}@127.0.0.1:{former.port}/postgres",
    }
    before = env_file.read_bytes()
    assert checkout.invoke("rotate", "user", **external).returncode == 1
    env_file_is_there = checkout.invoke("rotate", "user", "--to", str(env_file), **external)
    assert (env_file_is_there.returncode, env_file.read_bytes()) == (2, before)
    assert checkout.query(Role.OWNER, "SELECT FROM pg_roles WHERE rolname = 'app_user_b'") == []

    done = checkout.invoke("rotate", "user", "--to", str(new), **external)
    assert done.returncode == 0, done.stderr
    assert (stat.S_IMODE(new.stat().st_mode), env_file.read_bytes()) == (0o600, before)
    url = DatabaseUrl.parse(new.read_text().removesuffix("\n"))
    assert url.user == "app_user_b"
    for each in (former, url):
        connect(each).close()
    assert not [said for said in checkout.said if url.password.reveal() in said]

    # By the former settings neither the new login can be retired, nor another one be given out.
    assert checkout.invoke("rotate", "user", "--retire", "app_user", **external).returncode == 2
    assert checkout.invoke("rotate", "user", "--to", str(tmp_path / "newer"), **external).returncode == 4
    assert not (tmp_path / "newer").exists()
    retired = checkout.invoke("rotate", "user", "--retire", "app_user", **(external | {"DATABASE_URL": url.libpq()}))
    assert retired.returncode == 0, retired.stderr
    with pytest.raises(psycopg.OperationalError):
        connect(former)


def test_a_password_that_is_not_read_from_env_is_not_changed_there(checkout: Checkout, tmp_path: Path) -> None:
    """Where the environment or a file of its own gives the password, a new one in `.env` would have no effect."""
    checkout.succeed("up")
    before = (checkout.path / ".env").read_bytes()
    secret = tmp_path / "secret"
    secret.write_text(checkout.settings.app_user_password.reveal())
    refused = checkout.invoke("rotate", "user", APP_USER_PASSWORD="other")
    assert (refused.returncode, (checkout.path / ".env").read_bytes()) == (2, before)
    lines = before.decode().replace("APP_USER_PASSWORD=", f"APP_USER_PASSWORD_FILE={secret}\n# ")
    (checkout.path / ".env").write_text(lines)
    assert checkout.invoke("rotate", "user").returncode == 2
    assert (checkout.path / ".env").read_text() == lines
    assert checkout.query(Role.USER, "SELECT FROM pg_roles WHERE rolname = 'app_user_b'") == []
