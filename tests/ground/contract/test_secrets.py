"""No password is shown, whatever is done and whatever fails: in no output, log, file or list of processes.

Every password holds what shells, URLs, SQL and the servers' own files take for syntax, and comes from a `.env` with a
byte-order mark and CRLF. What is looked for is a word that any form of them shows, see `tests.kit.passwords`.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from infra.config.identity import state_directory
from infra.config.settings import BackendChoice
from infra.declaration.spec import PROJECT_LABEL
from tests.kit.availability import needs_redis_cli
from tests.kit.checkout import Checkout, copy_project
from tests.kit.passwords import KEYS, NEEDLE, nasty, nasty_env_file
from tests.kit.world import engine, kill_servers

NOWHERE = "groundwork/nowhere:16"
ENCODED = quote(nasty("external"), safe="")
EXTERNAL = f"postgresql://app_user:{ENCODED}@127.0.0.1:9/app"


def server_logs(checkout: Checkout) -> str:
    """Return all that the servers logged, from the engine or from the files themselves."""
    if checkout.backend is BackendChoice.EMBEDDED:
        return "".join(path.read_text() for path in state_directory(checkout.project).glob("*/*.log"))
    with engine() as client:
        listed = client.containers(all=True, filters={"label": f"{PROJECT_LABEL}={checkout.project.id}"})
        return "".join(client.logs(found["Id"]).decode() for found in listed)


def leaks(checkout: Checkout) -> list[str]:
    """Name where the word stands that every password holds: in what was said, in a log, in a file of the stack."""
    said = [line for text in checkout.said for line in text.splitlines()]
    logged = server_logs(checkout)
    assert "ready to accept connections" in logged
    files = {
        str(path): path.read_bytes()
        for path in state_directory(checkout.project).rglob("*")
        if path.is_file() and "bin" not in path.parts
    }
    assert str(state_directory(checkout.project) / "state.json") in files
    return [
        *(line for line in (*said, *logged.splitlines()) if NEEDLE in line),
        *(path for path, content in files.items() if NEEDLE.encode() in content),
    ]


@dataclass
class Watch:
    """What the arguments of this machine's processes were while something ran, and what the servers had around them."""

    arguments: set[str] = field(default_factory=set)
    ends: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Look again and again until told to end."""
        while not self.ends.wait(0.03):
            for process in psutil.process_iter():
                try:
                    self.arguments.add(" ".join(process.cmdline()))
                except psutil.Error:
                    continue


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Watch the arguments of all processes during a test; none may hold a password."""
    watching = Watch()
    thread = threading.Thread(target=watching.run)
    thread.start()
    try:
        yield watching
    finally:
        watching.ends.set()
        thread.join()
    assert [words for words in watching.arguments if NEEDLE in words] == []


@pytest.mark.quick_on_one
def test_what_looks_shows_no_password(served: Checkout, watch: Watch) -> None:
    """Every command on a stack that runs works with such passwords, and nothing that it starts or writes shows one."""
    served.succeed("up", "--json", "migrate", "--json", "migrate", "--plan", "--json", "history", "--json")
    served.succeed("up", "migrate", "status", "--json", "status", "plan", "doctor", "logs", "compose")
    served.succeed("doctor", "--database")
    served.succeed("plan", "doctor", DATABASE_POOL_BUDGET="60", APP_USER_PASSWORD=nasty("new"))
    assert served.pipe("SELECT pg_sleep(0.3)", "psql").returncode == 0
    assert any("psql -d" in words for words in watch.arguments)
    assert set(served.secrets()) == {nasty(key) for key in KEYS}
    assert leaks(served) == []


def test_redis_cli_shows_no_password(served: Checkout, watch: Watch) -> None:
    """The client of this machine is given the password where nobody else can read it."""
    needs_redis_cli()
    assert served.pipe("BLPOP nothing 0.3", "redis-cli").returncode == 0
    assert any("redis-cli -h" in words for words in watch.arguments)
    assert leaks(served) == []


@pytest.mark.quick_on_one
@pytest.mark.usefixtures("watch")
def test_what_a_server_refuses_shows_no_password(served: Checkout) -> None:
    """Neither a wrong password nor a server that is not there makes a command or a server's log show a password."""
    before = server_logs(served).count("password authentication failed")
    assert served.invoke("migrate", APP_OWNER_PASSWORD=nasty("wrong")).returncode == 4
    assert server_logs(served).count("password authentication failed") > before
    assert served.pipe("SELECT 1", "psql", DATABASE_URL=EXTERNAL).returncode == 2
    served.pipe("PING", "redis-cli", REDIS_PASSWORD=nasty("wrong"))
    assert leaks(served) == []


@pytest.fixture
def shop(tmp_path: Path) -> Checkout:
    """Give a checkout whose passwords are hard to keep, and whose stack is never brought up."""
    made = Checkout(copy_project(tmp_path / "shop"), BackendChoice.DOCKER)
    (made.path / ".env").write_bytes(nasty_env_file())
    return made


@pytest.mark.slow
def test_settings_that_cannot_be_used_show_no_password(shop: Checkout) -> None:
    """Neither a URL that leads nowhere or cannot be read, nor a line that is none, makes a command show a password."""
    raw = f"postgresql://app_user:{nasty('raw')}@127.0.0.1:9/app"
    impatient = {"DATABASE_CONNECT_DEADLINE": "1", "DATABASE_CONNECT_TIMEOUT": "1"}
    for code, words, environ in (
        (4, ["migrate"], {"DATABASE_OWNER_URL": EXTERNAL} | impatient),
        (4, ["migrate"], {"DATABASE_OWNER_URL": EXTERNAL.replace("127.0.0.1", "nowhere.invalid")} | impatient),
        (4, ["doctor", "--database"], {"DATABASE_URL": EXTERNAL}),
        (2, ["up"], {"DATABASE_URL": EXTERNAL}),
        (2, ["up"], {"DATABASE_URL": raw}),
        (2, ["migrate"], {"DATABASE_OWNER_URL": EXTERNAL.replace("postgresql", "mysql")}),
        (2, ["doctor"], {"DATABASE_URL": EXTERNAL.removeprefix("postgresql://")}),
        (2, ["psql"], {"DATABASE_URL": f"{ENCODED}://app_user@127.0.0.1/app"}),
        (2, ["plan"], {"APP_OWNER_PASSWORD": f"{nasty('cut')}\n"}),
        (3, ["up"], {"DOCKER_HOST": "unix:///nowhere/none.sock"}),
        (3, ["doctor"], {"DOCKER_HOST": "unix:///nowhere/none.sock"}),
    ):
        assert shop.invoke(*words, **environ).returncode == code, (words, shop.said[-2:])
    for line in (f"REDIS_PASSWORD {nasty('x')}", f"REDIS_PASSWORD='{nasty('x')}", f"POSTGRES_PORT={nasty('x')[:-1]}"):
        (shop.path / ".env").write_text(f"{line}\n")
        assert shop.invoke("up").returncode == shop.invoke("doctor").returncode == 2
    assert [text for text in shop.said if NEEDLE in text or "Traceback" in text] == []


@pytest.mark.slow
@pytest.mark.usefixtures("docker")
def test_a_missing_image_shows_no_password(shop: Checkout) -> None:
    """Where an engine cannot get an image, neither `up` nor `doctor` shows one."""
    for command in ("up", "doctor"):
        assert shop.invoke(command, POSTGRES_IMAGE=NOWHERE).returncode == 3
    assert [text for text in shop.said if NEEDLE in text or "Traceback" in text] == []


@pytest.mark.slow
@pytest.mark.usefixtures("watch")
def test_a_hard_life_shows_no_password(checkout: Checkout) -> None:
    """From the first `up` to `down`: statements logged, passwords changed, servers killed, migrations failed."""
    (checkout.path / ".env").write_bytes(nasty_env_file())
    checkout.succeed("up", "migrate")
    # From here on the server's log holds each statement, also those that set passwords.
    assert checkout.pipe("ALTER SYSTEM SET log_statement = 'all'", "psql", "--role", "admin").returncode == 0
    assert checkout.pipe("SELECT pg_reload_conf()", "psql", "--role", "admin").returncode == 0
    checkout.environ |= {key: nasty(f"new {key}") for key in KEYS}
    checkout.succeed("up")
    assert "PASSWORD 'SCRAM-SHA-256$" in server_logs(checkout)
    for body in ("op.execute('SELECT 1 / 0')", "op.execute('SET statement_timeout = 50; SELECT pg_sleep(9)')"):
        _add_migration(checkout, body)
        assert checkout.invoke("migrate").returncode == 5
    kill_servers(checkout.project, checkout.backend)
    assert checkout.invoke("migrate", DATABASE_CONNECT_DEADLINE="1").returncode == 4
    spec = checkout.path / "infra" / "declaration" / "spec.py"
    good = spec.read_text()
    spec.write_text(good.replace('("timezone", "UTC")', '("timezone", "Nowhere/Never")'))
    assert checkout.invoke("up").returncode == 4
    spec.write_text(good)
    checkout.succeed("up")
    if checkout.backend is BackendChoice.EMBEDDED:
        servers = [psutil.Process(int(found["runs"].split()[1])) for found in checkout.status()["services"].values()]
        assert [server for server in servers if NEEDLE in str(server.environ())] == []
    checkout.succeed("down")
    assert leaks(checkout) == []


def _add_migration(checkout: Checkout, body: str) -> None:
    """Add a migration, in place of the one that was added before."""
    (checkout.path / "migrations" / "versions" / "9999_by_hand.py").write_text(
        f'"""By hand."""\n\nfrom alembic import op\n\nrevision = "9999"\ndown_revision = "0001"\n\n\n'
        f"def upgrade():\n    {body}\n\n\ndef downgrade():\n    pass\n"
    )
