"""Read and mark a data volume through a container that has it.

The engine copies files out of a container that was only created, mounts included, so a volume can be looked into before
any server touches it.
"""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote

from infra.docker_backend.engine import Client
from infra.errors import StackError
from infra.spec import ContainerSpec, PostgresSpec, StackSpec
from infra.superuser import execute, program
from infra.volumes import MARKER


def read_file(client: Client, container: str, path: str) -> str | None:
    """Return a small text file's content, None where there is no such file."""
    from docker.errors import NotFound

    try:
        stream, _ = client.get_archive(container, path)
    except NotFound:
        return None
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        member = archive.next()
        content = archive.extractfile(member) if member else None
        return content.read().decode() if content else None


def complete(postgres: PostgresSpec, directory: str) -> None:
    """Have the server write the completion marker into its `directory`, after everything there is on the disk.

    What was unpacked into a volume is not synced by anyone else, and a marker that outlives a power cut must not vouch
    for files that do not. For the engine, running a command takes sixty milliseconds more than for the server.

    Raises:
        StackError: it could not be written.
    """
    import psycopg

    synced = "{ sync -f . 2>/dev/null || sync; }"  # some shells' sync knows all file systems only
    command = f"cd {quote(directory)} && {synced} && touch {MARKER} && {synced}"
    try:
        execute(postgres, postgres.password, program(command))
    except psycopg.Error as error:
        raise StackError(f"The data in {directory} could not be marked as complete: {error}") from None


@contextmanager
def looked_into(client: Client, spec: StackSpec, declared: ContainerSpec, existing: str | None) -> Iterator[str]:
    """Give a container with the volume mounted: the existing one, else one that is created for the look."""
    if existing is not None:
        yield existing
        return
    made = client.create_container(
        declared.image,
        name=f"{declared.name}-look",
        labels=spec.labels | declared.labels,
        host_config=client.create_host_config(binds=[f"{declared.volume}:{declared.data_path}"], network_mode="none"),
    )
    try:
        yield made["Id"]
    finally:
        client.remove_container(made["Id"], v=True, force=True)
