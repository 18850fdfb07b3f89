"""Read and write small files in a data volume through a container, which need not run.

The engine copies files out of and into a created container, mounts included, so a volume can be looked into before any
server touches it.
"""

import io
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from infra.docker_backend.engine import Client
from infra.spec import ContainerSpec, StackSpec
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


def write_marker(client: Client, container: str, directory: str) -> None:
    """Write the completion marker into `directory`."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        marker = tarfile.TarInfo(MARKER)
        marker.mtime = int(time.time())
        tar.addfile(marker)
    client.put_archive(container, directory, archive.getvalue())


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
