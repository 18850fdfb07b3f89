"""What the commands print, on either backend: JSON for programs, tables on a terminal, plain lines elsewhere."""

import json
import re
import sys
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
import redis

from infra.config.identity import OUR_SERVICES
from infra.config.settings import Role
from tests.ground.docker.terminal import Terminal
from tests.kit.checkout import Checkout
from tests.kit.documents import described_keys, keys_of

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(checkout: Checkout, *words: str, **environ: str) -> str:
    """Return what a command writes to a terminal of 80 columns."""
    given = [f"{key}={value}" for key, value in environ.items()]
    command = ["env", *given, sys.executable, "-m", "invoke", *words]
    with Terminal(command, checkout.path, checkout._environment()) as terminal:
        assert terminal.end() == 0
        return terminal.said.replace("\r\n", "\n")


def test_up_and_status_tell_programs_where_servers_answer(served: Checkout) -> None:
    """Both give the same addresses, which answer to whoever has the password, and hold none themselves."""
    done = served.succeed("up", "--json")
    up = json.loads(done.stdout)
    assert up.pop("operations") == []
    assert up == served.status()
    assert up["services"].keys() == {*OUR_SERVICES}
    assert [secret for secret in served.secrets() if secret in done.stdout] == []
    url = up["services"]["postgres"]["url"]
    with psycopg.connect(url, password=served.settings.app_user_password.reveal()) as connection:
        row = connection.execute("SELECT current_user, current_database()").fetchone()
        assert row == (str(Role.USER), served.url(Role.USER).database)
    client = redis.Redis.from_url(up["services"]["redis"]["url"], password=served.settings.redis_password.reveal())
    assert client.ping()
    client.close()


@pytest.mark.quick_on_one
@pytest.mark.usefixtures("hostile")
def test_documents_have_the_keys_that_the_readme_names(served: Checkout) -> None:
    """What programs read is described, key by key; what is done or refused is not there on a stack that runs."""
    for command in ("status", "plan", "doctor", "history", "bootstrap", "tenants-list"):
        found, described = keys_of(json.loads(served.succeed(command, "--json").stdout)), described_keys(command)
        assert not found - described
        assert described - found <= {"verb", "target", "cause", "what", "instead"}


@pytest.fixture
def hostile(served: Checkout) -> Iterator[list[str]]:
    """Give the words of the only tenant's name: they are markup to rich or hold what a terminal acts on.

    With a longer slug than its own, a table would be wider than the terminal.
    """
    for other in json.loads(served.succeed("tenants-list", "--json").stdout):
        served.succeed("tenants-delete", other["slug"], "--by", "slug", "--yes", "--no-export")
    slug = f"t-{uuid4().hex[:8]}"
    served.succeed("tenants-create", "[red]Acme[/red] :smile: \x1b[2J", "--slug", slug)
    yield ["[red]Acme[/red]", ":smile:", "\\x1b[2J"]
    served.succeed("tenants-delete", slug, "--yes", "--no-export")


@pytest.mark.quick_on_one
def test_a_terminal_gets_tables_with_colours(served: Checkout, hostile: list[str]) -> None:
    """Tables have a head and colours and show no text as anything but text; an address stands on one line."""
    said = on_terminal(served, "status", "doctor", "history", "tenants-list")
    assert re.search(r"\x1b\[32mok *\x1b\[0m", said)
    assert re.search(r"\x1b\[32mapplied *\x1b\[0m", said)
    assert "\x1b[2J" not in said
    plain = COLOUR.sub("", said)
    assert {"server", "about", "state", "slug"} <= {word for line in plain.splitlines() for word in line.split()}
    for each in json.loads(served.succeed("status", "--json").stdout)["services"].values():
        assert each["url"] in plain
    assert max(map(len, plain.splitlines())) <= 80
    assert [word for word in hostile if word not in plain] == []


@pytest.mark.quick_on_one
def test_no_color_leaves_the_table_and_takes_the_colours(served: Checkout) -> None:
    """With NO_COLOR a terminal gets the table without a single escape sequence; an empty one says nothing."""
    plain = on_terminal(served, "history", NO_COLOR="1")
    assert "─" in plain
    assert "\x1b" not in plain
    assert "\x1b" in on_terminal(served, "history", NO_COLOR="")


@pytest.mark.quick_on_one
@pytest.mark.parametrize("command", ["status", "history"])
def test_what_draws_no_table_gets_plain_lines(served: Checkout, command: str) -> None:
    """A pipe and a dumb terminal get the same lines, without head, frame or colour, however long."""
    piped = served.succeed(command).stdout
    assert "─" not in piped
    assert on_terminal(served, command, TERM="dumb") == piped
