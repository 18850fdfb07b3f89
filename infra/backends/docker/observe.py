"""What the engine holds under the names of a project's stack: what is the stack's own, and what is somebody else's."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from infra.backends.docker.engine import Client
from infra.backends.docker.ownership import (
    MARKED_LABEL,
    SET_ASIDE_SUFFIX,
    TEMPLATE_SUFFIX,
    is_own_name,
    is_volume_name,
    own_service,
    owns_network,
    owns_volume,
    service_of_volume,
)
from infra.config.identity import OUR_SERVICES, Service
from infra.declaration.spec import HASH_LABEL, PORT_LABEL, PROJECT_LABEL


class Container(NamedTuple):
    """A container of the project as the engine sees it.

    `network` is the id of the stack's network that it was last started in, empty before that: it can be started in no
    other. It is None where the container was disconnected from the network. `volumes` are those that it mounts, each
    with its path inside. One that is paused also counts as running.
    """

    id: str
    name: str
    service: Service
    config_hash: str
    image_id: str
    image: str
    running: bool
    started: datetime
    exit_code: int
    health: str
    port: int | None
    command: tuple[str, ...] = ()
    network: str | None = ""
    volumes: tuple[tuple[str, str], ...] = ()
    paused: bool = False
    further_ports: tuple[tuple[int, int], ...] = ()

    @property
    def serves(self) -> bool:
        """Whether the server in it can be reached and answer."""
        return self.running and not self.paused and self.network is not None


class Stranger(NamedTuple):
    """A container or network that has a name of the stack's and is not the stack's."""

    kind: str
    name: str
    description: str


class Observed(NamedTuple):
    """What the engine holds under the names of the stack, and the ids of the images that are declared.

    `volumes` are those of the stack's names, `kept` those among them that `up` did not make: they are used and never
    removed. Of PostgreSQL's, `uninitialised` is one that `up` made and never finished, `empty` another that holds
    nothing. The stack is that of `project_id`.
    """

    containers: tuple[Container, ...] = ()
    volumes: frozenset[str] = frozenset()
    volume_ids: tuple[tuple[str, str], ...] = ()
    networks: tuple[str, ...] = ()
    image_ids: tuple[tuple[str, str], ...] = ()
    uninitialised: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    empty: frozenset[str] = frozenset()
    strangers: tuple[Stranger, ...] = ()
    project_id: str = ""

    def mark_of(self, volume: str | None) -> str:
        """Return what tells the volume from another of the same name; empty where `up` did not make it."""
        return dict(self.volume_ids).get(volume or "", "")

    def volumes_of(self, services: Collection[Service] | None) -> frozenset[str]:
        """Return the volumes of these services, or of all."""
        if services is None:
            return self.volumes
        return frozenset(name for name in self.volumes if service_of_volume(self.project_id, name) in {*services})

    @property
    def services(self) -> tuple[Service, ...]:
        """The services that have a container: ours first."""
        found = {container.service for container in self.containers}
        return (*(s for s in OUR_SERVICES if s in found), *sorted(found - {*OUR_SERVICES}))

    def current(self, service: Service) -> tuple[Container, ...]:
        """Return the service's container as a tuple of one, or none: not one that was set aside or makes a template."""
        return tuple(c for c in self.of(service) if not c.name.endswith((SET_ASIDE_SUFFIX, TEMPLATE_SUFFIX)))[:1]

    def of(self, service: Service) -> tuple[Container, ...]:
        """Return the containers of one service; more than one is left by an interrupted command."""
        return tuple(container for container in self.containers if container.service == service)


def observe(client: Client, project_id: str) -> Observed:
    """Ask the engine for all that has a name of the stack's, and tell by its labels whether it is the stack's."""
    containers, strange = [], []
    for found in _containers(client, project_id):
        service = own_service(project_id, found)
        if service is None:
            strange.append(_stranger(found))
        else:
            containers.append(_container(found, project_id, service))
    listed = client.volumes(filters={"name": project_id})["Volumes"] or ()
    volumes = [volume for volume in listed if is_volume_name(project_id, volume["Name"])]
    networks = [network for network in client.networks(names=[project_id]) if network["Name"] == project_id]
    own = [network["Id"] for network in networks if owns_network(project_id, network)]
    strange += [Stranger("network", n["Name"], n["Driver"]) for n in networks if n["Id"] not in own]
    return Observed(
        containers=tuple(containers),
        volumes=frozenset(found["Name"] for found in volumes),
        volume_ids=tuple(_volume_ids(project_id, volumes)),
        networks=tuple(own),
        kept=frozenset(found["Name"] for found in volumes if not owns_volume(project_id, found)),
        strangers=tuple(strange),
        project_id=project_id,
    )


def users_of(client: Client, volumes: Collection[str], *, stopped: bool = False) -> list[dict[str, Any]]:
    """Return the running containers, or with `stopped` all, that mount one of the volumes, as the engine has them."""
    if not volumes:
        return []
    listed = client.containers(all=stopped, filters={"volume": sorted(volumes)})
    return list(_inspected(client, [found["Id"] for found in listed]))


def _containers(client: Client, project_id: str) -> Iterator[dict[str, Any]]:
    """Return what the engine says of each container that has a name of the stack's."""
    listed = client.containers(all=True, filters={"name": f"{project_id}-"})
    names = ((found["Id"], [name.removeprefix("/") for name in found["Names"] or ()]) for found in listed)
    return _inspected(client, [id_ for id_, called in names if any(is_own_name(project_id, name) for name in called)])


def _inspected(client: Client, containers: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield what the engine says of containers; one that is removed meanwhile is left out."""
    from docker.errors import NotFound

    for container in containers:
        with suppress(NotFound):
            yield client.inspect_container(container)


def _volume_ids(project_id: str, volumes: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for found in volumes:
        labels: Mapping[str, str] = found["Labels"] or {}
        if labels.get(PROJECT_LABEL) == project_id and MARKED_LABEL in labels:
            yield found["Name"], labels[MARKED_LABEL]


def _stranger(found: dict[str, Any]) -> Stranger:
    image, status = found["Config"]["Image"], found["State"]["Status"]
    return Stranger("container", found["Name"].removeprefix("/"), f"{status}, of the image {image}")


def _container(found: dict[str, Any], project_id: str, service: Service) -> Container:
    state = found["State"]
    # A container that does not run publishes nothing; what it would is what it was made with.
    ports = found["NetworkSettings"]["Ports"] or found["HostConfig"]["PortBindings"] or {}
    published = {int(p.partition("/")[0]): int(b[0]["HostPort"]) for p, b in ports.items() if b and b[0]["HostPort"]}
    first = int(found["Config"]["Labels"].get(PORT_LABEL, 0)) or next(iter(published), 0)
    network = found["NetworkSettings"]["Networks"].get(project_id)
    return Container(
        id=found["Id"],
        name=found["Name"].removeprefix("/"),
        service=service,
        config_hash=found["Config"]["Labels"].get(HASH_LABEL, ""),
        image_id=found["Image"],
        image=found["Config"]["Image"],
        running=state["Running"],
        started=_time(state["StartedAt"]),
        exit_code=state["ExitCode"],
        health=state.get("Health", {}).get("Status", "none"),
        port=published.get(first),
        command=tuple(found["Config"]["Cmd"] or ()),
        network=None if network is None else network.get("NetworkID", ""),
        volumes=tuple((mount["Name"], mount["Destination"]) for mount in found["Mounts"] if mount["Type"] == "volume"),
        paused=state["Paused"],
        further_ports=tuple((inside, port) for inside, port in published.items() if inside != first),
    )


def _time(text: str) -> datetime:
    # The engine writes nanoseconds; datetime reads microseconds.
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6].ljust(6, '0')}").replace(tzinfo=UTC)
