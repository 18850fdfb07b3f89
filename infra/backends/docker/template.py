"""PostgreSQL's data as an image's own first start leaves it, kept as an archive to fill new volumes from.

Filling takes a quarter of that start's time. The archive is made once for an image and its settings, by a container of
the image that nobody can reach and that ends cleanly. Its superuser has a password of its own, kept beside it and good
for nothing but to be replaced: what was unpacked is given the stack's password before anything else.
"""

import hashlib
import secrets
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from infra.backends.data_directory import CONTROL_FILE, MADE, identifier_of
from infra.backends.docker.engine import Client
from infra.backends.docker.ownership import TEMPLATE_SUFFIX
from infra.backends.docker.volume import read_bytes, read_file
from infra.backends.steps import run_uninterrupted
from infra.config.errors import StackError
from infra.config.files import draft_for, write_atomically
from infra.config.secret import Secret
from infra.declaration.spec import ContainerSpec

_MAKING = timedelta(seconds=30)
_STOPPING = timedelta(seconds=10)
_KEPT = 5  # archives of 40 MB
_CHUNK = 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Template:
    """An archive that is open, and the password that the superuser has in what is unpacked from it."""

    archive: BinaryIO
    password: Secret

    def fill(self, client: Client, declared: ContainerSpec) -> None:
        """Unpack it into the volume of a container that was created and not started."""
        # Read at once: of a file the HTTP client sends eight kilobytes at a time, which takes three times as long.
        client.put_archive(declared.name, str(Path(declared.mount_path).parent), self.archive.read())

    def discard(self) -> None:
        """Remove the archive, so that the next one to need it makes another."""
        _remove_archive(Path(self.archive.name))


@contextmanager
def open_template(
    client: Client, labels: Mapping[str, str], declared: ContainerSpec, image_id: str, folder: Path
) -> Iterator[Template | None]:
    """Open the archive in `folder` for this image and these settings; make it where there is none.

    Gives None where it cannot be made: the image's own first start then takes its time, and says what is wrong.
    """
    template = _open(client, labels, declared, template_path(declared, image_id, folder))
    with template.archive if template else nullcontext():
        yield template


def template_path(declared: ContainerSpec, image_id: str, folder: Path) -> Path:
    """Return where the archive for this image and these settings is, or would be."""
    made_from = "\0".join((MADE, image_id, declared.data_path, *("=".join(pair) for pair in declared.environment)))
    return folder / f"{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.tar"


def _open(client: Client, labels: Mapping[str, str], declared: ContainerSpec, path: Path) -> Template | None:
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    with suppress(OSError, StackError, DockerException, RequestException):
        if not (path.exists() and _password_of(path).exists()):
            path.parent.mkdir(parents=True, exist_ok=True)
            _make_room(path.parent)
            _make(client, labels, declared, path)
        path.touch()
        password = Secret(_password_of(path).read_text(encoding="ascii", errors="replace"))
        return Template(path.open("rb"), password)
    return None


def _password_of(archive: Path) -> Path:
    return archive.with_suffix(".password")


def _remove_archive(path: Path) -> None:
    path.unlink(missing_ok=True)
    _password_of(path).unlink(missing_ok=True)


def _make_room(folder: Path) -> None:
    """Keep the archives that were used last: an image that is replaced leaves one that nobody asks for."""
    for path in sorted(folder.glob("*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT - 1 :]:
        _remove_archive(path)


def _make(client: Client, labels: Mapping[str, str], declared: ContainerSpec, path: Path) -> None:
    name = f"{declared.name}-{uuid4().hex[:8]}{TEMPLATE_SUFFIX}"
    password = secrets.token_urlsafe(32)
    with ExitStack() as scrap:
        # How to remove it comes first: the engine may make it and its answer be lost.
        scrap.callback(_remove, client, name)
        run_uninterrupted(
            partial(
                client.create_container,
                declared.image,
                name=name,
                labels={**labels, **declared.labels},
                environment=dict(declared.environment) | {key: password for key, _, _ in declared.secrets},
                stop_signal=declared.stop_signal,
                host_config=client.create_host_config(network_mode="none", shm_size=declared.shm_size),
            )
        )
        client.start(name)
        assert declared.health is not None  # noqa: S101 - PostgreSQL has a check
        _await_first_start(client, name, declared.health.command)
        client.stop(name, timeout=int(_STOPPING.total_seconds()))
        if read_file(client, name, f"{declared.data_path}/postmaster.pid") is not None:
            raise StackError(f"The server in {name} did not end cleanly.")
        identifier = identifier_of(read_bytes(client, name, f"{declared.data_path}/{CONTROL_FILE}"))
        stream, _ = client.get_archive(name, declared.mount_path, chunk_size=_CHUNK)
        with draft_for(path, mode=0o600, durable=True) as draft, draft.open("wb") as output:
            output.writelines(chain([_origin_file(declared, identifier or "")], stream))
        write_atomically(_password_of(path), password, mode=0o600, durable=True)


def _origin_file(declared: ContainerSpec, identifier: str) -> bytes:
    """Return the beginning of an archive: the file that says which cluster `up` made, before any other of it."""
    data_path = Path(declared.data_path).relative_to(Path(declared.mount_path).parent)
    member = tarfile.TarInfo(f"{data_path}/{MADE}")
    member.size = len(identifier)
    content = identifier.encode("ascii")
    # Without the blocks that end an archive: the rest follows.
    return member.tobuf() + content.ljust(-(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, b"\0")


def _remove(client: Client, name: str) -> None:
    from docker.errors import NotFound

    with suppress(NotFound):
        client.remove_container(name, v=True, force=True)


def _await_first_start(client: Client, container: str, check: Sequence[str]) -> None:
    from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

    def serves() -> bool:
        found = client.inspect_container(container)["State"]
        if not found["Running"]:
            raise StackError(f"The container {container} ended with exit code {found['ExitCode']}.")
        # Asked from here: not every engine runs health checks more than once a second.
        asked = client.exec_create(container, list(check))
        client.exec_start(asked["Id"])
        return bool(client.exec_inspect(asked["Id"])["ExitCode"] == 0)

    def give_up(_: object) -> bool:
        raise StackError(f"The first start took longer than {_MAKING.total_seconds():g} s.")

    Retrying(
        retry=retry_if_result(lambda ready: not ready),
        stop=stop_after_delay(_MAKING),
        wait=wait_fixed(0.1),
        retry_error_callback=give_up,
    )(serves)
