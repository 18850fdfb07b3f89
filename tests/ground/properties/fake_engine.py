"""A container engine in memory that answers as `docker.APIClient` does, as far as the Docker backend asks.

So the backend's own code runs on it: what it looks at, decides, does and takes back.
"""

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from docker.errors import APIError, ImageNotFound, NotFound
from requests import Response

Described = dict[str, Any]


def refusal(status: int, reason: str) -> APIError:
    """Make the error of the Docker SDK for an answer of the engine's."""
    response = Response()
    response.status_code, response.reason = status, reason
    return APIError(reason, response, reason)


@dataclass
class _Container:
    id: str
    name: str
    image: str
    image_id: str
    labels: dict[str, str]
    command: list[str]
    host: Described
    networks: dict[str, str]
    mounts: dict[str, str]
    status: str = "created"

    @property
    def running(self) -> bool:
        return self.status in {"running", "paused"}

    def described(self) -> Described:
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "Image": self.image_id,
            "Config": {"Labels": self.labels, "Image": self.image, "Cmd": self.command},
            "HostConfig": {
                "PortBindings": {
                    f"{inside}/tcp": [{"HostPort": str(port)} for port in address[1:]]
                    for inside, address in (self.host.get("port_bindings") or {}).items()
                }
            },
            "State": {
                "Running": self.running,
                "Paused": self.status == "paused",
                "Status": self.status,
                "StartedAt": "2026-01-01T00:00:00Z",
                "ExitCode": 0,
            },
            "NetworkSettings": {
                "Ports": {},
                "Networks": {name: {"NetworkID": network} for name, network in self.networks.items()},
            },
            "Mounts": [
                {"Type": "volume", "Name": volume, "Destination": path, "RW": True}
                for path, volume in self.mounts.items()
            ],
        }


@dataclass
class FakeEngine:
    """What the engine holds, by id (containers, networks) or name (volumes, with their files)."""

    image_ids: dict[str, str]
    _containers: dict[str, _Container] = field(default_factory=dict)
    _volumes: dict[str, Described] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    _networks: dict[str, Described] = field(default_factory=dict)
    _image_labels: dict[str, dict[str, str]] = field(default_factory=dict)
    _made: int = 0

    def inspect_image(self, reference: str) -> Described:
        """Describe an image."""
        if reference not in self.image_ids:
            raise ImageNotFound("No such image")
        return {"Id": self.image_ids[reference], "Config": {"Env": None}}

    def containers(self, *, all: bool = False, filters: Mapping[str, Any] | None = None) -> list[Described]:  # noqa: A002 - the SDK's word
        """List containers by parts of their names or by their volumes."""
        asked = filters or {}
        return [
            {"Id": found.id, "Names": [f"/{found.name}"]}
            for found in self._containers.values()
            if (all or found.running)
            and asked.get("name", "") in found.name
            and ("volume" not in asked or set(asked["volume"]) & set(found.mounts.values()))
        ]

    def inspect_container(self, container: str) -> Described:
        """Describe a container."""
        return self._find(container).described()

    def create_host_config(self, **words: Any) -> Described:
        """Return what the container is told of the host."""
        return words

    def create_endpoint_config(self, **words: Any) -> Described:
        """Return what the container is told of a network."""
        return words

    def create_networking_config(self, endpoints: Described) -> Described:
        """Return the networks that the container is told of."""
        return endpoints

    def create_container(self, image: str, command: Any = None, *, name: str, **words: Any) -> Described:
        """Create a container; make the volumes that it mounts and that are not there, as an engine does."""
        if any(found.name == name for found in self._containers.values()):
            raise refusal(409, f'Conflict. The container name "/{name}" is already in use')
        host = words.get("host_config") or {"network_mode": "default"}
        mounts = {bind.split(":")[1]: bind.split(":")[0] for bind in host.get("binds") or ()}
        for volume in mounts.values():
            self.create_volume(volume)
        labels = self._image_labels.get(image, {}) | (words.get("labels") or {})
        network = host["network_mode"]
        networks = {} if network == "none" else {network: ""}
        made = _Container(
            self._new_id(), name, image, self.image_ids[image], labels, command or [], host, networks, mounts
        )
        self._containers[made.id] = made
        return {"Id": made.id}

    def start(self, container: str) -> None:
        """Start a container in the network that it was started in before, or in the one of its network's name."""
        found = self._find(container)
        if found.status == "paused":
            raise refusal(409, "cannot start a paused container, try unpause instead")
        for name, network in found.networks.items():
            named = [key for key, made in self._networks.items() if made["Name"] == name]
            if name not in {"default", "none"} and (network or None) not in ([None] if len(named) == 1 else named):
                raise refusal(404 if not named else 409, f"network {name} not found, or ambiguous")
            found.networks[name] = network or (named[0] if named else "")
        found.status = "running"

    def stop(self, container: str, timeout: int = 10) -> None:  # noqa: ARG002 - the SDK's signature
        """Stop a container."""
        found = self._find(container)
        found.status = "exited" if found.running else found.status

    def pause(self, container: str) -> None:
        """Pause a container that runs."""
        self._go(container, "running", "paused")

    def unpause(self, container: str) -> None:
        """Let a paused container go on."""
        self._go(container, "paused", "running")

    def _go(self, container: str, before: str, after: str) -> None:
        found = self._find(container)
        if found.status != before:
            raise refusal(409, f"Container {found.name} is not {before}")
        found.status = after

    def rename(self, container: str, name: str) -> None:
        """Give a container another name."""
        if any(found.name == name for found in self._containers.values()):
            raise refusal(409, f'Conflict. The container name "/{name}" is already in use')
        self._find(container).name = name

    def remove_container(self, container: str, *, v: bool = False, force: bool = False) -> None:  # noqa: ARG002 - the SDK's signature
        """Remove a container."""
        found = self._find(container)
        if found.running and not force:
            raise refusal(409, "You cannot remove a running container")
        del self._containers[found.id]

    def commit(self, container: str, repository: str) -> Described:
        """Make an image of a container, with its labels."""
        found = self._find(container)
        self.image_ids[repository] = self._new_id()
        self._image_labels[repository] = dict(found.labels)
        return {"Id": self.image_ids[repository]}

    def volumes(self, filters: Mapping[str, Any]) -> Described:
        """List volumes by a part of their names."""
        return {"Volumes": [found for name, found in self._volumes.items() if filters["name"] in name] or None}

    def create_volume(self, name: str, labels: Mapping[str, str] | None = None) -> Described:
        """Create a volume; return the one of that name where there is one."""
        if name not in self._volumes:
            self._volumes[name] = {
                "Name": name,
                "Labels": dict(labels) if labels else None,
            }
            self.files[name] = {}
        return self._volumes[name]

    def inspect_volume(self, name: str) -> Described:
        """Describe a volume."""
        if name not in self._volumes:
            raise NotFound("no such volume")
        return self._volumes[name]

    def remove_volume(self, name: str) -> None:
        """Remove a volume that no container mounts."""
        self.inspect_volume(name)
        if any(name in found.mounts.values() for found in self._containers.values()):
            raise refusal(409, f"remove {name}: volume is in use")
        del self._volumes[name], self.files[name]

    def networks(self, names: list[str]) -> list[Described]:
        """List networks by parts of their names."""
        return [found for found in self._networks.values() if any(name in found["Name"] for name in names)]

    def create_network(
        self, name: str, *, driver: str = "bridge", labels: Mapping[str, str] | None = None
    ) -> Described:
        """Create a network; an engine lets several have one name."""
        made: Described = {"Id": self._new_id(), "Name": name, "Driver": driver, "Labels": dict(labels or {})}
        self._networks[made["Id"]] = made
        return made

    def remove_network(self, network: str) -> None:
        """Remove a network that no running container is connected to."""
        if network not in self._networks:
            raise NotFound("network not found")
        if any(network in c.networks.values() for c in self._containers.values() if c.running):
            raise refusal(403, "has active endpoints")
        del self._networks[network]

    def connect_container_to_network(self, container: str, network: str) -> None:
        """Connect a container to one network more."""
        self._find(container).networks[self._networks[network]["Name"]] = network

    def disconnect_container_from_network(self, container: str, network: str) -> None:
        """Disconnect a container from a network."""
        if self._find(container).networks.pop(self._networks[network]["Name"], None) is None:
            raise refusal(403, "container is not connected to the network")

    def put_archive(self, container: str, path: str, data: bytes) -> bool:
        """Unpack an archive into the volumes that a container mounts."""
        mounts = self._find(container).mounts
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                for place, volume in mounts.items():
                    target = PurePosixPath(path) / member.name
                    if content is not None and target.is_relative_to(place):
                        self.files[volume][str(target.relative_to(place))] = content.read()
        return True

    def get_archive(self, container: str, path: str) -> tuple[Iterator[bytes], Described]:
        """Pack what is at a path in a volume that a container mounts: a file, or a folder and its files."""
        for place, volume in self._find(container).mounts.items():
            if PurePosixPath(path).is_relative_to(place):
                below = str(PurePosixPath(path).relative_to(place))
                found = {
                    name: content
                    for name, content in sorted(self.files[volume].items())
                    if below in {".", name} or name.startswith(f"{below}/")
                }
                if found or below == ".":
                    return iter([_packed(PurePosixPath(path), PurePosixPath(place), found)]), {}
        raise NotFound(f"Could not find the file {path}")

    def _find(self, container: str) -> _Container:
        for found in self._containers.values():
            if container in {found.id, found.name}:
                return found
        raise NotFound(f"No such container: {container}")

    def _new_id(self) -> str:
        self._made += 1
        return f"made-{self._made}"


def _packed(path: PurePosixPath, place: PurePosixPath, files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        if str(path.relative_to(place)) not in files:
            folder = tarfile.TarInfo(f"{path.name}/")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(str((place / name).relative_to(path.parent)))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()
