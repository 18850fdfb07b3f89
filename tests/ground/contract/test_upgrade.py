"""`invoke up --upgrade`: the data goes along to a later version, and whatever ends the command loses none of it."""

import random
import signal
from contextlib import closing

import psycopg
import pytest

from infra.config.endpoints import admin_url
from infra.config.identity import state_directory
from infra.config.record import dump_file
from infra.config.settings import BackendChoice, Role
from infra.config.versions import Place, postgres_at
from infra.images.names import STAND_INS
from infra.stack.ports import free_port
from tests.ground.contract.test_interrupts import begun, end_after
from tests.kit.checkout import Checkout
from tests.kit.world import engine, things_of

ROWS = "SELECT count(*), sum(hashtext(k::text)) FROM kept k"
VERSION = "SELECT current_setting('server_version_num')::int / 10000"
pytestmark = pytest.mark.slow


@pytest.fixture
def filled(checkout: Checkout) -> Checkout:
    """Give a checkout whose stack, on the default version, has rows in the product's database and in another."""
    # Not the standard ports: while a failed upgrade is taken back, another stack may choose those.
    checkout.environ |= {key: str(free_port()) for key in ("POSTGRES_PORT", "REDIS_PORT")}
    checkout.succeed("up", "migrate")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT g AS id, md5(g::text) FROM generate_series(1, 20000) g")
    with closing(psycopg.connect(admin_url(checkout.settings, checkout.ports).libpq(), autocommit=True)) as admin:
        admin.execute("CREATE DATABASE elsewhere")
    return checkout


def later_version(backend: BackendChoice) -> int:
    """Return the latest version that is to be had on a backend here."""
    if backend is BackendChoice.EMBEDDED:
        return max(postgres_at(Place.EMBEDDED))
    with engine() as client:
        there = {tag for image in client.images() for tag in image["RepoTags"] or ()}
    versions = [int(official.partition(":")[2]) for official in STAND_INS if official.startswith("postgres:")]
    found = [each for each in versions if {f"postgres:{each}", STAND_INS[f"postgres:{each}"]} & there]
    if max(found) == min(versions):
        pytest.skip("no image of a later version: `invoke build-images --postgres 18`")
    return max(found)


def test_the_data_goes_along_and_the_former_data_stays(filled: Checkout) -> None:
    """Rows, roles and rights are the new server's, the stack is as declared there, and one line of .env goes back."""
    version = later_version(filled.backend)
    rows, databases = filled.query(Role.OWNER, ROWS), filled.query(Role.USER, "SELECT datname FROM pg_database")
    filled.succeed("up", "--upgrade", str(version))
    assert filled.query(Role.USER, VERSION) == [(version,)]
    assert filled.query(Role.OWNER, ROWS) == rows
    assert set(databases) == set(filled.query(Role.USER, "SELECT datname FROM pg_database"))
    assert f"\nPOSTGRES_VERSION={version}\n" in (filled.path / ".env").read_text(encoding="utf-8")
    assert "nothing to do" in filled.succeed("plan").stdout
    filled.succeed("check")
    assert not dump_file(filled.project).exists()
    assert "already" in filled.invoke("up", "--upgrade", str(version)).stderr
    assert "no way down" in filled.invoke("up", "--upgrade", "16").stderr
    filled.succeed("up", POSTGRES_VERSION="16")
    assert (filled.query(Role.USER, VERSION), filled.query(Role.OWNER, ROWS)) == ([(16,)], rows)
    refused = filled.invoke("up", "--upgrade", str(version), POSTGRES_VERSION="16")
    assert refused.returncode == 2
    assert "in the environment wins" in refused.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_an_upgrade_that_is_ended_loses_nothing(filled: Checkout, how: signal.Signals) -> None:
    """Whenever it ends, the next `up` serves all rows, and the next upgrade takes those along that came meanwhile."""
    version = later_version(filled.backend)
    chance = random.Random(f"{how} {filled.backend}")
    moments = sorted(chance.uniform(0.1, 9) for _ in range(6))
    for number, seconds in enumerate(moments):
        rows = filled.query(Role.OWNER, ROWS)
        code, said = end_after(begun(filled, filled.start("up", "--upgrade", str(version))), how, seconds)
        assert code in {0, -how, 128 + how}, said
        filled.succeed("up")
        assert filled.query(Role.OWNER, ROWS) == rows
        if filled.query(Role.USER, VERSION) == [(version,)]:
            break
        filled.query(Role.OWNER, f"INSERT INTO kept VALUES ({-number}, 'meanwhile')")
    else:
        rows = filled.query(Role.OWNER, ROWS)
        filled.succeed("up", "--upgrade", str(version))
    assert filled.query(Role.USER, VERSION) == [(version,)]
    assert filled.query(Role.OWNER, ROWS) == rows


def test_a_failed_upgrade_leaves_the_former_data_serving(filled: Checkout) -> None:
    """What the new server does not take ends in its own words, and nothing of the new data is left."""
    version, rows = later_version(filled.backend), filled.query(Role.OWNER, ROWS)
    # Rows that a constraint let in once and does not any more: COPY of another server refuses them.
    always = "CREATE OR REPLACE FUNCTION public.fine(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT {}'"
    filled.query(Role.OWNER, always.format("true"))
    filled.query(Role.OWNER, "CREATE TABLE picky AS SELECT 1 AS value")
    filled.query(Role.OWNER, "ALTER TABLE picky ADD CHECK (public.fine(value))")
    filled.query(Role.OWNER, always.format("false"))
    refused = filled.invoke("up", "--upgrade", str(version))
    assert refused.returncode == 4
    assert "could not be restored" in refused.stderr
    assert filled.query(Role.OWNER, ROWS) == rows
    assert filled.query(Role.USER, VERSION) == [(16,)]
    assert not [thing for thing in things_of(filled.project, filled.backend) if thing.endswith(f"-{version}")]
    assert not list(state_directory(filled.project).glob(f"postgres/data-{version}"))
    assert not dump_file(filled.project).exists()


def test_rows_that_no_dump_holds_end_the_upgrade(filled: Checkout) -> None:
    """A table that an extension was given is in no dump: it is missed, and the former data serves it."""
    rows = filled.query(Role.OWNER, ROWS)
    admin = admin_url(filled.settings, filled.ports).on(filled.url(Role.OWNER).database)
    with closing(psycopg.connect(admin.libpq(), autocommit=True)) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("ALTER EXTENSION vector ADD TABLE kept")
    refused = filled.invoke("up", "--upgrade", str(later_version(filled.backend)))
    assert refused.returncode == 4
    assert "app: kept holds 0 rows and not 20000" in refused.stderr
    assert (filled.query(Role.USER, VERSION), filled.query(Role.OWNER, ROWS)) == ([(16,)], rows)


def test_a_transaction_that_keeps_a_table_is_waited_for_and_then_named(filled: Checkout) -> None:
    """The upgrade gives up by itself, and the one that wrote goes on."""
    with closing(psycopg.connect(filled.url(Role.OWNER).libpq())) as writer:
        writer.execute("INSERT INTO kept VALUES (-1, 'open')")
        refused = filled.invoke("up", "--upgrade", str(later_version(filled.backend)))
        writer.commit()
    assert refused.returncode == 4
    assert "kept a table" in refused.stderr
    assert filled.query(Role.OWNER, "SELECT count(*) FROM kept WHERE id = -1") == [(1,)]
