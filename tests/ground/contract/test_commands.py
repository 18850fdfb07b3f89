"""The commands that look at a stack, on either backend, used through the command line."""

import hashlib
import json
import shutil
import signal
import threading
from pathlib import Path

import pytest

from infra.backends.data_directory import MARKER
from infra.config.identity import Service, state_directory
from infra.config.settings import BackendChoice, Role
from tests.kit.availability import needs_redis_cli
from tests.kit.checkout import Checkout, Done, Serve
from tests.kit.world import remove_data_files, things_of, write_data_file


def steps(done: Done) -> list[dict[str, str]]:
    """Return the operations that `plan --json` printed."""
    operations: list[dict[str, str]] = json.loads(done.stdout)["operations"]
    return operations


def files_of(checkout: Checkout) -> dict[str, str]:
    """Return each file of the checkout and of its state with the digest of its content, but for what servers write."""
    folders = (checkout.path, state_directory(checkout.project))
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not {"data", "bin"} & set(path.parts)
    }


def test_the_plan_of_what_runs_is_empty(served: Checkout) -> None:
    """After `up` there is nothing to do, and `plan` says so."""
    assert steps(served.succeed("plan", "--json")) == []
    assert "nothing to do" in served.succeed("plan").stdout


def test_a_changed_setting_is_planned_with_its_cause(served: Checkout) -> None:
    """A changed setting is named with both values, of things by their names, and planning it changes nothing."""
    world = (served.status(), sorted(things_of(served.project, served.backend)), files_of(served))
    planned = steps(served.succeed("plan", "--json", DATABASE_POOL_BUDGET="50"))
    assert (served.status(), sorted(things_of(served.project, served.backend)), files_of(served)) == world
    assert "max_connections 120 → 70" in planned[0]["cause"]
    names = {Service.POSTGRES, f"{served.project.id}-{Service.POSTGRES}"}
    assert {step["target"] for step in planned} <= names


def test_a_changed_password_is_planned(served: Checkout) -> None:
    """A password that only the database has to learn is work for `up`, so the plan is not empty; it is not shown."""
    planned = served.succeed("plan", "--json", APP_USER_PASSWORD="S3cret-new")
    assert [step["verb"] for step in steps(planned)] == ["prove"]
    assert "S3cret" not in planned.stdout + planned.stderr


def test_a_plan_before_the_first_up_makes_nothing(checkout: Checkout) -> None:
    """Without a `.env` the plan says what to do; with one it shows everything to come; nothing is made either way."""
    done = checkout.invoke("plan")
    assert done.returncode == 2
    assert "invoke up" in done.stderr
    roles = ("POSTGRES", "APP_OWNER", "APP_USER", "APP_MAINTENANCE", "REDIS")
    passwords = {f"{role}_PASSWORD": "S3cret" for role in roles}
    assert {"postgres", "redis"} <= {
        step["target"].rpartition("-")[2] for step in steps(checkout.succeed("plan", "--json", **passwords))
    }
    assert things_of(checkout.project, checkout.backend) == []
    assert not (checkout.path / ".env").exists()
    assert not state_directory(checkout.project).exists()


@pytest.mark.usefixtures("docker")
def test_a_missing_image_is_planned_and_not_pulled(serve: Serve) -> None:
    """An image that is not on this machine is the plan's first step."""
    planned = steps(serve(BackendChoice.DOCKER).succeed("plan", "--json", POSTGRES_IMAGE="127.0.0.1:9/nobody/none:16"))
    assert (planned[0]["verb"], planned[0]["target"]) == ("pull image", "127.0.0.1:9/nobody/none:16")
    assert "image" in planned[1]["cause"]


def test_compose_is_what_runs(served: Checkout) -> None:
    """The compose file has the ports that `up` chose, and the images that it runs where it took others."""
    services = json.loads(served.succeed("compose").stdout)["services"]
    published = {name: int(service["ports"][0]["published"]) for name, service in services.items()}
    assert published == dict(served.ports)
    if served.backend is BackendChoice.DOCKER:
        runs = {name: service["runs"] for name, service in served.status()["services"].items()}
        assert {name: service["image"] for name, service in services.items()} == runs
    fixed = json.loads(served.succeed("compose", POSTGRES_PORT="25432", POSTGRES_IMAGE="other:16").stdout)["services"]
    assert (fixed["postgres"]["ports"][0]["published"], fixed["postgres"]["image"]) == ("25432", "other:16")


def test_logs_are_the_servers_own_lines(served: Checkout) -> None:
    """`logs` names the server before each line; of one server the lines stand alone, as many as asked for.

    All lines are asked for: other tests may have had the server log more than the command shows unasked.
    """
    both = served.succeed("logs", "--lines", "1000000").stdout
    assert "postgres | " in both
    assert "ready to accept connections" in both
    assert "redis    | " in both
    one = served.succeed("logs", "--service", "redis", "--lines", "2").stdout.splitlines()
    assert len(one) == 2
    assert "|" not in one[0]


@pytest.mark.quick_on_one
def test_followed_logs_show_what_happens_then(served: Checkout) -> None:
    """`logs --follow` prints a line that the server writes meanwhile, and Ctrl-C ends it with 130 and no traceback."""
    following = served.start("logs", "--follow", "--lines", "0")
    assert following.stdout is not None
    try:
        refused = threading.Timer(1, served.pipe, ("SELECT followed_to_the_end;", "psql"))
        refused.start()
        assert any("followed_to_the_end" in line for line in following.stdout)
        refused.join()
    finally:
        following.send_signal(signal.SIGINT)
        _, errors = following.communicate(timeout=10)
    assert following.returncode == 130
    assert "Traceback" not in errors


@pytest.mark.quick_on_one
@pytest.mark.parametrize(
    ("role", "name"), [("", Role.OWNER), ("user", Role.USER), ("maintenance", Role.MAINTENANCE), ("admin", "postgres")]
)
def test_psql_answers_as_the_role(served: Checkout, role: str, name: str) -> None:
    """A statement that is piped into `psql` is answered by this stack, as the role that was asked for."""
    query = "\\pset format unaligned\n\\pset tuples_only on\nSELECT current_user, current_setting('cluster_name');"
    done = served.pipe(query, "psql", *(["--role", role] if role else []))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{name}|{served.project.id}"


@pytest.mark.quick_on_one
@pytest.mark.parametrize("wrong", ["SELECT nothing_of_this_name;", "SELECT 1 / 0;", "COMMIT;\n\\ir nothing.sql"])
def test_a_statement_that_fails_ends_what_is_piped_in(served: Checkout, wrong: str) -> None:
    """Nothing after it is run, and psql's exit status, 3, is that of `invoke psql`: a script sees that it failed."""
    done = served.pipe(f"SELECT 'begun';\n{wrong}\nSELECT 'went on';", "psql")
    assert done.returncode == 3
    assert "begun" in done.stdout
    assert "went on" not in done.stdout


def test_redis_cli_answers(served: Checkout) -> None:
    """A command that is piped into `redis-cli` is answered, so the password was given."""
    if served.backend is BackendChoice.EMBEDDED:  # a container has its own
        needs_redis_cli()
    assert served.pipe("PING", "redis-cli").stdout == "PONG\n"


def test_without_clients_on_the_path(served: Checkout, tmp_path: Path) -> None:
    """Without clients on the PATH psql is the wheel's; redis-cli is the container's, or it is said what to install."""
    if served.backend is BackendChoice.DOCKER:
        tmp_path.joinpath("docker").symlink_to(shutil.which("docker") or "")
    assert served.pipe("SHOW server_version", "psql", PATH=str(tmp_path)).returncode == 0
    done = served.pipe("PING", "redis-cli", PATH=str(tmp_path))
    if served.backend is BackendChoice.DOCKER:
        assert done.stdout == "PONG\n"
    else:
        assert done.returncode == 3
        assert "apt-get install redis-tools" in done.stderr


def test_doctor_names_who_holds_a_declared_port(checkout: Checkout, served: Checkout) -> None:
    """A declared port of another stack ends doctor and `up` alike, and both say how to stop that stack."""
    port = str(served.ports[Service.POSTGRES])
    doctor, up = checkout.invoke("doctor", POSTGRES_PORT=port), checkout.invoke("up", POSTGRES_PORT=port)
    assert doctor.returncode == up.returncode == 3
    for said in (doctor.stdout, up.stderr):
        assert served.project.id in said
        assert f"cd {served.path} && invoke down" in said


def test_the_stacks_own_database_is_well(served: Checkout) -> None:
    """What `up` made is what `doctor --database` looks for: each role logs in, and nothing is wrong."""
    findings = json.loads(served.succeed("doctor", "--database", "--json").stdout)
    assert {*map(str, Role), "administrator", "roles", "rights", "server"} <= {
        finding["subject"] for finding in findings
    }
    assert [finding for finding in findings if finding["level"] != "ok"] == []


def test_doctor_says_what_up_would_put_right(served: Checkout) -> None:
    """A password that the database does not know yet is a warning, since `up` teaches it."""
    findings = json.loads(served.succeed("doctor", "--json", APP_USER_PASSWORD="S3cret-new").stdout)
    warned = [finding for finding in findings if finding["level"] == "warn" and finding["subject"] == "postgres"]
    assert len(warned) == 1
    assert "invoke up" in warned[0]["remedy"]


def test_bootstrap_finds_the_stack_prepared(served: Checkout) -> None:
    """What `up` prepared lacks nothing, and the script for an administrator is printed without a password."""
    assert json.loads(served.succeed("bootstrap", "--json").stdout)["made"] == []
    script = served.succeed("bootstrap", "--sql").stdout
    assert "CREATE DATABASE" in script
    assert [secret for secret in served.secrets() if secret in script] == []


@pytest.mark.slow
def test_doctor_ends_as_up_would_through_a_checkouts_life(checkout: Checkout) -> None:
    """Doctor is content before `up` (and makes nothing), while the servers run, and after; other data it refuses."""
    before = checkout.succeed("doctor", "--json")
    assert things_of(checkout.project, checkout.backend) == []
    assert not (checkout.path / ".env").exists()
    assert not state_directory(checkout.project).exists()
    assert {finding["level"] for finding in json.loads(before.stdout)} <= {"ok", "warn"}
    checkout.succeed("up")
    assert "serves at" in checkout.succeed("doctor").stdout
    checkout.succeed("down")
    assert "is down" in checkout.succeed("doctor").stdout
    assert "shut down" in checkout.succeed("logs", "--service", "postgres", "--lines", "3").stdout
    write_data_file(checkout.project, checkout.backend, "PG_VERSION", "15")
    doctor = checkout.invoke("doctor")
    assert doctor.returncode == checkout.invoke("up").returncode == 4
    assert "PostgreSQL 15" in doctor.stdout
    write_data_file(checkout.project, checkout.backend, "PG_VERSION", "16")
    remove_data_files(checkout.project, checkout.backend, MARKER)
    assert "never finished" in checkout.succeed("doctor").stdout
