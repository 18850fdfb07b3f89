"""New volumes are filled from an archive of what the image's own first start makes."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from infra.backends.docker.ownership import MARKED_LABEL, TEMPLATE_SUFFIX
from infra.config.endpoints import admin_url
from infra.config.identity import Service
from infra.config.secret import Secret
from infra.config.settings import BackendChoice, Role
from infra.declaration.spec import PROJECT_LABEL
from tests.kit.checkout import Checkout, copy_project
from tests.kit.passwords import NEEDLE, nasty_env_file
from tests.kit.templates import archive_of, forget_archive, password_beside
from tests.kit.world import engine, things_of, write_data_file

pytestmark = pytest.mark.usefixtures("docker")


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """Give a checkout whose settings are nobody else's, so that there is no archive for them yet."""
    superuser = {"POSTGRES_USER": f"admin_{uuid4().hex[:8]}"}
    made = Checkout(copy_project(tmp_path / "shop"), BackendChoice.DOCKER, superuser, umask=0o022)
    (made.path / ".env").write_bytes(nasty_env_file())
    try:
        yield made
    finally:
        made.invoke("down", "--volumes", "--yes")
        forget_archive(made)


def cluster(checkout: Checkout) -> int:
    """Return what the data was called when it was made; a copy of it is called the same."""
    with psycopg.connect(admin_url(checkout.settings, checkout.ports).libpq()) as connection:
        [found] = connection.execute("SELECT system_identifier FROM pg_control_system()").fetchone() or (0,)
        return int(found)


def making(checkout: Checkout) -> bool:
    """Return whether the container that makes the archive is there."""
    return any(thing.endswith(TEMPLATE_SUFFIX) for thing in things_of(checkout.project, checkout.backend))


@pytest.mark.slow
def test_new_data_is_a_copy_of_an_archive_that_holds_no_password(checkout: Checkout) -> None:
    """Data that was given up and made again is a copy of the same archive, under the passwords of `.env` each time.

    The archive and its superuser's password are their owner's alone; no password of `.env` is in them, nor what the
    server keeps of one, and the archive's password opens nothing.
    """
    checkout.succeed("up")
    first = cluster(checkout)
    archive = archive_of(checkout)
    made = archive.stat().st_ino
    checkout.succeed("down", "--volumes", "--yes")
    assert things_of(checkout.project, checkout.backend) == []
    checkout.succeed("up")
    assert cluster(checkout) == first
    assert archive.stat().st_ino == made
    assert checkout.query(Role.USER, "SELECT 1") == [(1,)]
    for file in (archive, password_beside(archive)):
        assert file.stat().st_mode & 0o077 == 0
        assert NEEDLE.encode() not in file.read_bytes()
    first_password = Secret(password_beside(archive).read_text(encoding="ascii"))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(replace(admin_url(checkout.settings, checkout.ports), password=first_password).libpq())
    with psycopg.connect(admin_url(checkout.settings, checkout.ports).libpq()) as connection:
        kept = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL").fetchall()
    assert len(kept) == 4
    assert not [verifier for (verifier,) in kept if verifier.encode() in archive.read_bytes()]


@pytest.mark.slow
def test_a_damaged_archive_is_given_up(checkout: Checkout) -> None:
    """An `up` that comes to nothing on a damaged archive leaves nothing, and the next one makes another archive."""
    checkout.succeed("up")
    first = cluster(checkout)
    checkout.succeed("down", "--volumes", "--yes")
    archive = archive_of(checkout)
    with archive.open("r+b") as damaged:
        damaged.truncate(archive.stat().st_size // 2)
    assert checkout.invoke("up").returncode != 0
    assert things_of(checkout.project, checkout.backend) == []
    assert not archive.exists()
    checkout.succeed("up")
    assert cluster(checkout) != first
    assert archive.exists()


@pytest.mark.slow
def test_new_data_is_told_its_password_also_where_the_archives_own_is_lost(checkout: Checkout) -> None:
    """A password beside the archive that is another's costs no `up`: the container's own socket is there as well."""
    checkout.succeed("up")
    checkout.succeed("down", "--volumes", "--yes")
    password_beside(archive_of(checkout)).write_text("another's", encoding="ascii")
    checkout.succeed("up")
    assert checkout.query(Role.USER, "SELECT 1") == [(1,)]


@pytest.mark.slow
def test_the_image_makes_its_data_where_there_can_be_no_archive(checkout: Checkout) -> None:
    """Where no archive can be read or written, the image's own first start makes the data."""
    archive_of(checkout).mkdir(parents=True)
    checkout.succeed("up")
    assert checkout.query(Role.USER, "SELECT 1") == [(1,)]
    assert archive_of(checkout).is_dir()


def leave_unfinished_data(checkout: Checkout) -> None:
    """Leave a volume as an `up` leaves it that was killed while its data was made."""
    labels = {PROJECT_LABEL: checkout.project.id, MARKED_LABEL: "unfinished"}
    with engine() as client:
        client.create_volume(f"{checkout.project.id}-{Service.POSTGRES}", labels=labels)
    write_data_file(checkout.project, checkout.backend, "PG_VERSION", "16")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_up_succeeds_after_one_that_was_ended_while_it_made_the_archive(
    checkout: Checkout, how: signal.Signals
) -> None:
    """Whoever ends an `up` that makes the archive: the next one serves, and no container is left beside it."""
    up = checkout.start("up")
    Retrying(retry=retry_if_result(lambda seen: not seen), stop=stop_after_delay(30), wait=wait_fixed(0.02))(
        lambda: making(checkout)
    )
    up.send_signal(how)
    up.communicate(timeout=60)
    if how is signal.SIGINT:
        assert things_of(checkout.project, checkout.backend) == []
    else:
        leave_unfinished_data(checkout)
    checkout.succeed("up")
    assert not making(checkout)
    assert checkout.query(Role.USER, "SELECT 1") == [(1,)]
