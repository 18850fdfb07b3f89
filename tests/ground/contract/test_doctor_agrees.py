"""`doctor` says beforehand what ends `up`: with the same words and remedy, and the same exit code."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.backends.data_directory import SNAPSHOT
from infra.config.identity import Service, state_directory
from infra.config.settings import BackendChoice, Role
from tests.kit.checkout import Checkout, MakeCheckout
from tests.kit.world import engine, remove_data, run_in_data, things_of, write_data_file

LONG = "a" * 64
FIRST_UNPRIVILEGED = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))


def require_agreement(checkout: Checkout, code: int, **environ: str) -> str:
    """Claim that both commands end with this code, and that doctor has every word of `up`'s last paragraph."""
    doctor, up = checkout.invoke("doctor", **environ), checkout.invoke("up", **environ)
    assert (doctor.returncode, up.returncode) == (code, code), doctor.stdout + up.stderr
    reason = up.stderr.strip().splitlines()[-1]
    found = doctor.stdout.replace("  ", " ")
    assert reason.rstrip(".") in found, f"up: {reason}\n{doctor.stdout}"
    return reason


@pytest.mark.parametrize(
    ("environ", "code", "named"),
    [
        ({"POSTGRES_PORT": "25555", "REDIS_PORT": "25555"}, 2, "both 25555"),
        pytest.param({"POSTGRES_USER": str(Role.OWNER)}, 2, "POSTGRES_USER app_owner", marks=pytest.mark.slow),
        pytest.param({"POSTGRES_USER": "pg_admin"}, 2, "keeps for itself", marks=pytest.mark.slow),
        pytest.param({"POSTGRES_USER": LONG}, 2, "63 bytes", marks=pytest.mark.slow),
        ({"DATABASE_SSLMODE": "require"}, 2, "DATABASE_SSLMODE=prefer"),
        ({"DATABASE_URL": "postgresql://a:S3cret@db.example/app"}, 2, "Unset DATABASE_URL"),
        pytest.param({"REDIS_PORT": "0"}, 2, "REDIS_PORT", marks=pytest.mark.slow),
        ({"STACK_BACKEND": "docker", "DOCKER_HOST": "unix:///nowhere"}, 3, "unix:///nowhere"),
        pytest.param(
            {"STACK_BACKEND": "embedded", "REDIS_PORT": "80"},
            3,
            "REDIS_PORT to `auto`",
            marks=pytest.mark.skipif(FIRST_UNPRIVILEGED <= 80, reason="this system lets everybody have any port"),
        ),
    ],
)
@pytest.mark.one_backend
def test_what_the_settings_forbid_is_said_alike(
    checkout: Checkout, environ: dict[str, str], code: int, named: str
) -> None:
    """Settings that no stack can have end both commands before anything is made.

    The kind: something that `up` comes upon and `doctor` judges by other means, or not at all.
    """
    reason = require_agreement(checkout, code, **environ)
    assert named in reason
    assert "S3cret" not in reason
    assert things_of(checkout.project, checkout.backend) == []


def test_a_port_that_another_program_has_is_said_alike(checkout: Checkout) -> None:
    """A declared port that is taken ends both, with the name of its holder."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        require_agreement(checkout, 3, REDIS_PORT=str(held.getsockname()[1]))


def _other_major(checkout: Checkout) -> None:
    write_data_file(checkout.project, checkout.backend, "PG_VERSION", "15")


def _notes(checkout: Checkout) -> None:
    remove_data(checkout.project, checkout.backend)
    write_data_file(checkout.project, checkout.backend, "notes.txt", "mine")


def _snapshot(checkout: Checkout) -> None:
    script = f"rm -rf appendonlydir groundwork.*; echo x > {SNAPSHOT}"
    run_in_data(checkout.project, checkout.backend, Service.REDIS, script)


def _later_redis(checkout: Checkout) -> None:
    script = "printf REDIS0099 | dd of=$(echo appendonlydir/*.base.rdb) conv=notrunc status=none"
    run_in_data(checkout.project, checkout.backend, Service.REDIS, script)


def _library(checkout: Checkout) -> None:
    script = "echo \"shared_preload_libraries = 'plpgsql, nothing'\" >> postgresql.auto.conf"
    run_in_data(checkout.project, checkout.backend, Service.POSTGRES, script)


def _record(checkout: Checkout) -> None:
    (state_directory(checkout.project) / "state.json").write_text("")


@pytest.mark.slow
@pytest.mark.parametrize("damage", [_other_major, _notes, _snapshot, _later_redis, _library, _record])
@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "forgotten"])
def test_what_is_wrong_with_the_data_is_said_alike(
    checkout: Checkout, damage: Callable[[Checkout], None], remembered: bool
) -> None:
    """Data that `up` refuses is refused by doctor with the same remedy, whether this checkout knew the data or not."""
    checkout.succeed("up")
    checkout.succeed("down")
    if not remembered:
        (state_directory(checkout.project) / "state.json").unlink()
    damage(checkout)
    try:
        require_agreement(checkout, 4)
    finally:
        if damage is _record:
            (state_directory(checkout.project) / "state.json").unlink()


@pytest.mark.slow
def test_a_moved_checkout_is_said_alike(make_checkout: MakeCheckout, backend: BackendChoice) -> None:
    """Where `up` would not start a second stack unasked, doctor says so, with the two answers."""
    # A name of its own: while it is moved, other checkouts of its name are asked whether they are it.
    checkout = make_checkout(f"moved-{backend}")
    checkout.succeed("up")
    checkout.succeed("down")
    moved = checkout.path.parent / "elsewhere"
    moved.mkdir()
    former, checkout.path = checkout.path, checkout.path.rename(moved / checkout.path.name)
    assert "--adopt" in require_agreement(checkout, 4)
    checkout.path = checkout.path.rename(former)


@pytest.mark.slow
def test_another_backend_for_the_data_is_said_alike(served: Checkout) -> None:
    """Both name the backend that holds the data."""
    other = BackendChoice.DOCKER if served.backend is BackendChoice.EMBEDDED else BackendChoice.EMBEDDED
    require_agreement(served, 4, STACK_BACKEND=other)


@contextmanager
def stranger(name: str) -> Iterator[None]:
    """Have a container of somebody else's under a name that the stack needs."""
    with engine() as client:
        made = client.create_container("groundwork/redis:7-standin", ["sleep", "1000"], name=name)
        try:
            yield
        finally:
            client.remove_container(made["Id"], v=True, force=True)


@pytest.mark.usefixtures("docker")
def test_a_name_that_somebody_else_has_is_said_alike(checkout: Checkout) -> None:
    """A container that `up` did not make, under a name that it needs, ends both with the command that renames it."""
    if checkout.backend is BackendChoice.DOCKER:
        with stranger(f"{checkout.project.id}-redis"):
            assert "docker rename" in require_agreement(checkout, 4)


def test_down_asks_for_no_engine_that_is_not_to_be_used(checkout: Checkout) -> None:
    """Without a record `down` of plain processes succeeds where the engine that the shell names is not there."""
    environ = {"STACK_BACKEND": "embedded", "DOCKER_HOST": "unix:///nowhere"}
    assert "nothing ran" in checkout.succeed("down", **environ).stdout
    checkout.succeed("down", "--volumes", "--yes", **environ)
    assert checkout.invoke("down", STACK_BACKEND="docker", DOCKER_HOST="unix:///nowhere").returncode == 3
