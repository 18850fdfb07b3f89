"""An image whose first start answers, goes away again, and only then serves."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from infra.config.settings import BackendChoice, Role
from infra.images import base
from infra.images.names import STAND_INS
from tests.kit.checkout import Checkout, copy_project
from tests.kit.passwords import nasty_env_file
from tests.kit.templates import archive_of, forget_archive
from tests.kit.world import engine

pytestmark = [pytest.mark.usefixtures("docker"), pytest.mark.slow]

_SLOW = "groundwork/postgres:16-slow-to-finish"
_CREATED = "    create_database\n"


@pytest.fixture
def slow_image() -> Iterator[str]:
    """Build the stand-in with a pause in its first start, while its temporary server answers; it goes afterwards."""
    script = (Path(base.__file__).parent / "postgres" / "docker-entrypoint.sh").read_text(encoding="utf-8")
    assert script.count(_CREATED) == 1
    files = {
        "Dockerfile": (
            f"FROM {STAND_INS['postgres:16']}\nCOPY entrypoint.sh /usr/local/bin/docker-entrypoint.sh\n",
            0o644,
        ),
        "entrypoint.sh": (script.replace(_CREATED, f"{_CREATED}    sleep 3\n"), 0o755),
    }
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, (text, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), mode
            archive.addfile(member, io.BytesIO(text.encode()))
    context.seek(0)
    with engine() as client:
        built = list(client.build(fileobj=context, custom_context=True, tag=_SLOW, rm=True, decode=True))
        assert not [message for message in built if "error" in message], built
        yield _SLOW
        client.remove_image(_SLOW, force=True)


def test_up_returns_when_the_last_start_serves(slow_image: str, tmp_path: Path) -> None:
    """The first start's temporary server is not taken for ready: after `up` each of ten queries is answered.

    So it is where the image makes its data itself, and where an archive of it is made first.
    """
    checkout = Checkout(copy_project(tmp_path / "shop"), BackendChoice.DOCKER, {"POSTGRES_IMAGE": slow_image})
    (checkout.path / ".env").write_bytes(nasty_env_file())
    archive_of(checkout).mkdir(parents=True)
    try:
        answers_ten_queries(checkout)
        forget_archive(checkout)
        answers_ten_queries(checkout)
        forget_archive(checkout)
    finally:
        checkout.invoke("down", "--volumes", "--yes")


def answers_ten_queries(checkout: Checkout) -> None:
    """Bring the stack up, ask at once, and give everything up."""
    checkout.succeed("up")
    url = checkout.url(Role.USER)
    with ExitStack() as connections:
        for _ in range(10):
            connection = connections.enter_context(psycopg.connect(url.libpq()))
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
    checkout.succeed("down", "--volumes", "--yes")
