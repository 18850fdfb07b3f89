"""What a stack does on either backend, used through the command line."""

import json
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from infra.backends.data_directory import MARKER
from infra.config.endpoints import admin_url
from infra.config.identity import Service, project_at, state_directory
from infra.config.record import comparison_note
from infra.config.settings import BackendChoice, Role
from tests.kit.availability import docker_lacks
from tests.kit.checkout import Checkout, MakeCheckout
from tests.kit.passwords import KEYS, nasty
from tests.kit.world import data_files, remove_data_files, things_of, write_data_file


@pytest.fixture
def listener() -> Iterator[int]:
    """Hold a port as another program would."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_up_serves_the_application_role(served: Checkout) -> None:
    """After `up` the application's role reaches PostgreSQL 16 of this very stack, and Redis 7 answers."""
    assert served.query(
        Role.USER, "SELECT current_setting('server_version_num')::int / 10000, current_setting('cluster_name')"
    ) == [(16, served.project.id)]
    assert int(served.redis().info("server")["redis_version"].partition(".")[0]) >= 7


def test_both_backends_are_one_database(served: Checkout) -> None:
    """Encoding, locale, time zone and connection limit are the declared ones on either backend."""
    assert served.query(
        Role.USER,
        "SELECT pg_encoding_to_char(encoding), datcollate, datctype, current_setting('timezone'),"
        " current_setting('max_connections') FROM pg_database WHERE datname = 'app'",
    ) == [("UTF8", "C.UTF-8", "C.UTF-8", "UTC", "120")]


def test_second_up_changes_nothing(served: Checkout) -> None:
    """A second `up` leaves the same servers running, started when they were."""
    before = served.status()
    served.succeed("up")
    assert served.status() == before


def test_data_survives_down_and_up(checkout: Checkout) -> None:
    """Rows and keys are there again after `down` and `up`."""
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    checkout.redis().set("kept", "42")
    checkout.succeed("down")
    assert checkout.status()["services"] == {}
    checkout.succeed("up")
    assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]
    assert checkout.redis().get("kept") == "42"


def test_down_with_volumes_leaves_nothing(checkout: Checkout) -> None:
    """`down --volumes --yes` removes servers, data and all that was remembered."""
    checkout.succeed("up")
    assert things_of(checkout.project, checkout.backend)
    comparison_note(checkout.project).touch()
    checkout.succeed("down", "--volumes", "--yes")
    assert things_of(checkout.project, checkout.backend) == []
    assert not state_directory(checkout.project).exists()


def test_down_with_volumes_asks(served: Checkout) -> None:
    """Without `--yes` and with nobody to ask, `down --volumes` refuses and changes nothing."""
    before = served.status()
    assert served.invoke("down", "--volumes").returncode == 1
    assert served.status() == before


@pytest.mark.slow
def test_same_folder_name_is_another_stack(make_checkout: MakeCheckout) -> None:
    """Two checkouts whose folders have the same name do not see each other's data, nor remove it."""
    one, other = make_checkout("one/shop"), make_checkout("other/shop")
    one.succeed("up")
    one.query(Role.OWNER, "CREATE TABLE mine AS SELECT 1 AS value")
    other.succeed("up")
    assert other.query(Role.OWNER, "SELECT to_regclass('public.mine')") == [(None,)]
    other.succeed("down", "--volumes", "--yes")
    assert one.query(Role.OWNER, "SELECT value FROM mine") == [(1,)]


def test_a_declared_port_is_kept_to(checkout: Checkout, listener: int) -> None:
    """Where the declared port is taken, `up` names it and the process that has it, and has made nothing."""
    done = checkout.invoke("up", POSTGRES_PORT=str(listener))
    assert done.returncode == 3
    assert f"port {listener}, which process {os.getpid()} " in done.stderr
    assert things_of(checkout.project, checkout.backend) == []


@pytest.mark.slow
def test_a_remembered_port_gives_way(checkout: Checkout) -> None:
    """A port that nobody declared is exchanged for a free one when another program took it meanwhile."""
    checkout.succeed("up")
    before = checkout.ports[Service.REDIS]
    checkout.succeed("down")
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", before))
        held.listen()
        checkout.succeed("up")
        assert checkout.ports[Service.REDIS] != before
        assert checkout.redis().ping()


@pytest.mark.quick_on_one
def test_a_changed_declaration_keeps_the_data(checkout: Checkout) -> None:
    """A changed parameter is in force after the next `up`, the rows are still there, and nothing is left to do."""
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    checkout.environ["DATABASE_POOL_BUDGET"] = "50"
    checkout.succeed("up")
    assert checkout.query(Role.OWNER, "SELECT value, current_setting('max_connections') FROM kept") == [(42, "70")]
    assert json.loads(checkout.succeed("plan", "--json").stdout)["operations"] == []


@pytest.mark.quick_on_one
def test_a_failed_up_leaves_nothing_half_made(checkout: Checkout) -> None:
    """A first `up` that fails while it prepares the database removes the servers and the data it made."""
    with (checkout.path / "schema" / "admin" / "roles.py").open("a") as roles:
        roles.write(
            "\n\ndef ensure(*_):\n    from schema.errors import RightsError\n\n"
            "    raise RightsError('refused for the test')\n"
        )
    done = checkout.invoke("up")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert things_of(checkout.project, checkout.backend) == []


@pytest.mark.quick_on_one
def test_a_failed_up_brings_back_what_it_replaced(checkout: Checkout) -> None:
    """Where a changed declaration cannot serve, the servers of before run again as they were, with their data."""
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    good = (checkout.path / "infra" / "declaration" / "spec.py").read_text()
    (checkout.path / "infra" / "declaration" / "spec.py").write_text(
        good.replace('("timezone", "UTC")', '("timezone", "Nowhere/Never")')
    )
    done = checkout.invoke("up")
    assert done.returncode == 4
    assert "Nowhere/Never" in done.stderr
    assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]
    (checkout.path / "infra" / "declaration" / "spec.py").write_text(good)
    left_to_do = json.loads(checkout.succeed("plan", "--json").stdout)["operations"]
    assert {step["verb"] for step in left_to_do} <= {"prove"}


@pytest.mark.quick_on_one
def test_an_ended_server_is_reported_at_once(checkout: Checkout) -> None:
    """A server that ends while it starts is reported for that, with its own last words, and not for the deadline.

    The kind: a wait for what can no longer come. The deadline is later than the end of this test's patience.
    """
    spec = checkout.path / "infra" / "declaration" / "spec.py"
    spec.write_text(spec.read_text().replace('("timezone", "UTC")', '("timezone", "Nowhere/Never")'))
    done = checkout.invoke("up", STACK_START_TIMEOUT="600")
    assert done.returncode == 4
    *log, reason = done.stderr.strip().splitlines()
    assert any("FATAL" in line for line in log)
    assert "ended with exit code" in reason
    assert "Not ready within" not in reason
    assert "invoke down --volumes --service postgres" in reason
    assert things_of(checkout.project, checkout.backend) == []


@pytest.mark.slow
def test_unfinished_data_is_made_anew(checkout: Checkout) -> None:
    """Data that a killed first start left behind, without the completion marker, is made again by the next `up`."""
    checkout.succeed("up")
    checkout.succeed("down")
    (state_directory(checkout.project) / "state.json").unlink()
    remove_data_files(checkout.project, checkout.backend, MARKER, "global/pg_filenode.map")
    checkout.succeed("up")
    assert checkout.query(Role.USER, "SELECT current_setting('cluster_name')") == [(checkout.project.id,)]


@pytest.mark.slow
def test_finished_data_is_never_made_anew(checkout: Checkout) -> None:
    """Data that carries the marker stays as it is, where the server cannot start on it and nobody remembers it."""
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    checkout.succeed("down")
    (state_directory(checkout.project) / "state.json").unlink()
    remove_data_files(checkout.project, checkout.backend, "global/pg_control")
    before = data_files(checkout.project, checkout.backend)
    assert checkout.invoke("up").returncode == 4
    assert before <= data_files(checkout.project, checkout.backend)


@pytest.mark.slow
def test_another_major_version_is_refused(checkout: Checkout) -> None:
    """Data of another major version is refused before anything starts, and nothing of it is changed."""
    checkout.succeed("up")
    checkout.succeed("down")
    # As data that this checkout has not seen serve: of its own it knows the version.
    (state_directory(checkout.project) / "state.json").unlink()
    write_data_file(checkout.project, checkout.backend, "PG_VERSION", "15")
    before = data_files(checkout.project, checkout.backend)
    done = checkout.invoke("up")
    assert done.returncode == 4
    assert "PostgreSQL 15" in done.stderr
    assert checkout.status()["services"] == {}
    assert data_files(checkout.project, checkout.backend) == before


def test_once_data_lives_in_a_backend_no_other_is_started(served: Checkout) -> None:
    """Another STACK_BACKEND than the one that holds the data is refused, and nothing is started."""
    other = BackendChoice.DOCKER if served.backend is BackendChoice.EMBEDDED else BackendChoice.EMBEDDED
    assert served.invoke("up", STACK_BACKEND=other).returncode == 4
    if other is BackendChoice.DOCKER and docker_lacks() is None:  # without an engine there is nothing to start on
        assert things_of(served.project, other) == []


def test_commands_before_the_first_up_say_what_to_do(checkout: Checkout) -> None:
    """`migrate` on a stack that was never up ends with one paragraph that names `invoke up`."""
    done = checkout.invoke("migrate")
    assert done.returncode == 4
    assert "invoke up" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_role_that_was_changed_by_hand_is_put_right(checkout: Checkout) -> None:
    """An application role that somebody made a superuser is none any more after servers start again."""
    checkout.succeed("up")
    admin = checkout.url(Role.OWNER)
    with psycopg.connect(
        admin.libpq()
        .replace(admin.user, checkout.settings.postgres_user)
        .replace(admin.password.reveal(), checkout.settings.postgres_password.reveal()),
        autocommit=True,
    ) as connection:
        connection.execute("ALTER ROLE app_user SUPERUSER")
    checkout.succeed("down")
    checkout.succeed("up")
    assert checkout.query(Role.USER, "SELECT rolsuper FROM pg_roles WHERE rolname = 'app_user'") == [(False,)]


@pytest.mark.slow
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_changed_passwords_are_taught_to_the_data(checkout: Checkout, running: bool) -> None:
    """Whatever password and superuser `.env` names now, the next `up` puts them in force; rows stay, old ones end.

    The former superuser's password ends as well, whether the cluster was made for that one or not.
    """
    if not running:  # a superuser that nobody could guess
        checkout.environ["POSTGRES_USER"] = "alice"
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    former = [checkout.url(Role.USER), admin_url(checkout.settings, checkout.ports)]
    if not running:
        checkout.succeed("down")
    checkout.environ |= {key: nasty(key) for key in KEYS} | {"POSTGRES_USER": "bob"}
    checkout.succeed("up")
    former.append(admin_url(checkout.settings, checkout.ports))
    checkout.environ["POSTGRES_USER"] = "carol"
    checkout.succeed("up")
    assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]
    assert checkout.redis().ping()
    for url in former:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            # Where the servers answer now: a stopped stack's port may have gone to another one's meanwhile.
            psycopg.connect(replace(url, port=checkout.ports[Service.POSTGRES]).libpq())
    superusers = "SELECT rolname FROM pg_roles WHERE rolsuper AND oid <> 10 ORDER BY 1"
    assert checkout.query(Role.OWNER, superusers) == [("carol",)]


@pytest.mark.slow
def test_a_moved_checkout_is_offered_its_stack(make_checkout: MakeCheckout, backend: BackendChoice) -> None:
    """After a move `up` starts nothing until it is told; with `--adopt` the data of before is there."""
    # A name of its own: by its name a checkout finds the stack that it had, and so would those of other tests.
    name = f"travelling-{backend}"
    checkout = make_checkout(name)
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    checkout.succeed("down")
    former = checkout.project
    (checkout.path.parent / "moved").mkdir()
    checkout.path = checkout.path.rename(checkout.path.parent / "moved" / name)
    assert checkout.invoke("up").returncode == 4
    assert things_of(checkout.project, checkout.backend) == []
    checkout.succeed("up", "--adopt")
    assert checkout.query(Role.OWNER, "SELECT value, current_setting('cluster_name') FROM kept") == [(42, former.id)]
    checkout.succeed("down", "--volumes", "--yes")
    assert things_of(former, checkout.backend) == []
    assert not state_directory(former).exists()
    assert project_at(checkout.path) == checkout.project


@pytest.mark.slow
def test_a_copied_checkout_gets_a_stack_of_its_own(checkout: Checkout) -> None:
    """A copy whose original is still there is not offered the original's stack, and gives nothing of it up."""
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    copied = Checkout(Path(shutil.copytree(checkout.path, checkout.path.parent / "copied" / "shop")), checkout.backend)
    copied.succeed("up")
    assert copied.query(Role.OWNER, "SELECT to_regclass('public.kept')") == [(None,)]
    copied.succeed("down", "--volumes", "--yes")
    assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]
