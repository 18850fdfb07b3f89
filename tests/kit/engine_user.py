"""A user who works on an engine beside `up` and `down`, and what is his of all that the engine holds.

Written for `docker.APIClient` and for what answers like it, so that the same user works on a modelled engine and on a
real one.
"""

import io
import tarfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from docker.errors import APIError, NotFound

from infra.backends.data_directory import APPEND_ONLY, CONTROL_FILE, MADE
from infra.backends.docker.volume import read_bytes
from infra.config.identity import Service
from infra.declaration.spec import PROJECT_LABEL, SERVICE_LABEL, ContainerSpec, StackSpec

Engine = Any  # the SDK ships no types
Result = TypeVar("Result")
SENTINEL = "sentinel"


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def a_cluster(identifier: str, major: str = "16") -> dict[str, bytes]:
    """Return the files by which PostgreSQL's data is known, with the system identifier that a cluster has."""
    return {"PG_VERSION": f"{major}\n".encode(), CONTROL_FILE: identifier.encode().ljust(8, b"-")}


# What a user may put on a volume.
CONTENTS: dict[str, dict[str, bytes]] = {
    "nothing": {},
    "a cluster": a_cluster("theirs"),
    "a cluster of another major": a_cluster("theirs", "15"),
    "half a cluster": {"PG_VERSION": b"16\n"},
    "an append-only file": {APPEND_ONLY[0]: b""},
    "a snapshot": {"dump.rdb": b"REDIS0011"},
    "notes": {"notes.txt": b"remember"},
}
LABELS = ("none", "the project's", "the service's")


class Seen(NamedTuple):
    """What must stay of a container: its name, how it is, and the networks that it is in."""

    name: str
    status: str
    networks: frozenset[str]


class EngineUser:
    """What a user does on an engine; `containers`, `networks` and `files` are his, and nobody else's to change."""

    def __init__(self, engine: Engine, spec: StackSpec) -> None:
        self.engine, self.spec = engine, spec
        self.containers: dict[str, Seen] = {}
        self.networks: set[str] = set()
        self.volumes: dict[str, dict[str, str]] = {}
        self.files: dict[str, dict[str, bytes | None]] = {}
        self.images: set[str] = set()

    @property
    def declared(self) -> dict[Service, ContainerSpec]:
        """The containers of the stack by their services."""
        return {container.service: container for container in self.spec.containers}

    def labels(self, kind: str, service: Service) -> dict[str, str]:
        """Return labels as a user may write them: none, or some of the stack's."""
        project = {PROJECT_LABEL: self.spec.project.id}
        return {"none": {}, "the project's": project, "the service's": project | {SERVICE_LABEL: service}}[kind]

    def make_volume(self, name: str, labels: Mapping[str, str], files: Mapping[str, bytes]) -> None:
        """Create a volume, unless there is one, and put files on it."""
        if self._is_volume(name):
            return
        # An engine tells no two volumes of one name apart, but for their labels.
        self.volumes[name] = dict(labels) | {"of-the-user": uuid4().hex}
        self.engine.create_volume(name, labels=self.volumes[name])
        self.put(name, files)
        if files:  # nothing is ever initialised beside them
            self.files[name][MADE] = None

    def put(self, volume: str, files: Mapping[str, bytes]) -> None:
        """Put files on a volume, whoever made it: they are the user's from now on."""
        mine = dict(files) | ({SENTINEL: b"mine"} if files else {})
        if mine:
            self._through(volume, lambda looker: self.engine.put_archive(looker, "/mnt", packed(mine)))
            self.files.setdefault(volume, {}).update(mine)

    def read(self, volume: str, names: Iterable[str]) -> dict[str, bytes | None]:
        """Return what files of a volume hold now."""
        return self._through(volume, lambda c: {name: read_bytes(self.engine, c, f"/mnt/{name}") for name in names})

    def _through(self, volume: str, act: Callable[[str], Result]) -> Result:
        made = self.engine.create_container(
            self.spec.redis.image,
            ["true"],
            name=f"user-looks-{uuid4().hex}",
            host_config=self.engine.create_host_config(binds=[f"{volume}:/mnt"], network_mode="none"),
        )
        try:
            return act(made["Id"])
        finally:
            self.engine.remove_container(made["Id"], v=True, force=True)

    def make_container(
        self,
        name: str,
        labels: Mapping[str, str],
        volume: str | None,
        *,
        image: str = "",
        start: bool = False,
        network: str = "none",
    ) -> None:
        """Create a container, unless its name is taken, and start it where that is asked for."""
        made_for_it = volume if volume and not self._is_volume(volume) else None
        with suppress(APIError):
            made = self.engine.create_container(
                image or self.spec.redis.image,
                ["sleep", "1000"],
                name=name,
                labels=dict(labels) or None,
                host_config=self.engine.create_host_config(
                    binds=[f"{volume}:/mnt"] if volume else [], network_mode=network
                ),
            )
            if made_for_it:
                self.volumes[made_for_it] = {}
            if start:
                self.engine.start(made["Id"])
            self.note(made["Id"])

    def _is_volume(self, name: str) -> bool:
        try:
            return bool(self.engine.inspect_volume(name))
        except NotFound:
            return False

    def make_network(self, name: str) -> None:
        """Create a network."""
        self.networks.add(self.engine.create_network(name)["Id"])

    def commit(self, container: str, name: str, *, start: bool, instead: bool = False) -> None:
        """Make an image of a container, and a container of the image, which has the labels of the first."""
        image = f"snap-{uuid4().hex}"
        self.engine.commit(container, image)
        self.images.add(image)
        if instead:
            self.engine.remove_container(container, v=True, force=True)
        self.make_container(name, {}, None, image=image, start=start)

    def rename(self, container: str, name: str) -> None:
        """Give a container another name, which makes it the user's."""
        with suppress(APIError):
            self.engine.rename(container, name)
            self.note(container)

    def note(self, container: str) -> None:
        """Take a container for the user's, as it is now."""
        seen = self.seen(container)
        assert seen is not None
        self.containers[container] = seen

    def seen(self, container: str) -> Seen | None:
        """Return how a container is now, None where it is gone."""
        try:
            found = self.engine.inspect_container(container)
        except NotFound:
            return None
        status = "paused" if found["State"]["Paused"] else "running" if found["State"]["Running"] else "not running"
        return Seen(found["Name"].removeprefix("/"), status, frozenset(found["NetworkSettings"]["Networks"]))

    def forget_volume(self, name: str) -> None:
        """Let a volume go: the user removed it, or told `down` to."""
        self.volumes.pop(name, None)
        self.files.pop(name, None)

    def require_all_kept(self) -> None:
        """Claim that all that is the user's is there, and as it was left."""
        assert {container: self.seen(container) for container in self.containers} == self.containers
        assert {network["Id"] for network in self.engine.networks(names=[""])} >= self.networks
        made = {name: self.engine.inspect_volume(name)["Labels"] or {} for name in self.volumes}
        assert made == self.volumes
        assert {volume: self.read(volume, files) for volume, files in self.files.items()} == self.files
