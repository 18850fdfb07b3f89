"""What the engine holds of a project. Found by label alone, so that names never decide whose a thing is."""

from datetime import UTC, datetime
from typing import NamedTuple

from infra.docker_backend.engine import Client
from infra.spec import HASH_LABEL, PROJECT_LABEL, SERVICE_LABEL, Service

# On the name of a container that another one takes the place of, until that one serves.
SET_ASIDE_SUFFIX = "-set-aside"
# On that of a container that makes a template of PostgreSQL's data.
TEMPLATE_SUFFIX = "-template"

# On the volumes that `up` made itself, and not on those of a compose file: the data counts as complete only with the
# marker. Its value is another one for each volume, since an engine tells no two volumes of one name apart.
MARKED_LABEL = "groundwork.marked"


class Container(NamedTuple):
    """A container of the project as the engine sees it.

    `network` is the id of the network that it was last started in, empty before that: it can be started in no other.
    `volumes` are those that it mounts, each with its path inside.
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
    network: str = ""
    volumes: tuple[tuple[str, str], ...] = ()


class Observed(NamedTuple):
    """Everything of the project that the engine holds, and the ids of the images that are declared."""

    containers: tuple[Container, ...] = ()
    volumes: frozenset[str] = frozenset()
    marks: tuple[tuple[str, str], ...] = ()
    networks: tuple[str, ...] = ()
    image_ids: tuple[tuple[str, str], ...] = ()
    unborn: frozenset[str] = frozenset()

    def mark_of(self, volume: str | None) -> str:
        """Return what tells the volume from another of the same name; empty where `up` did not make it."""
        return dict(self.marks).get(volume or "", "")

    def current(self, service: Service) -> tuple[Container, ...]:
        """Return the service's container as a tuple of one, or none: not one that was set aside or makes a template."""
        return tuple(c for c in self.of(service) if not c.name.endswith((SET_ASIDE_SUFFIX, TEMPLATE_SUFFIX)))[:1]

    def of(self, service: Service) -> tuple[Container, ...]:
        """Return the containers of one service; more than one is left by an interrupted command."""
        return tuple(container for container in self.containers if container.service == service)


def observe(client: Client, project_id: str) -> Observed:
    """Ask the engine for all that carries the project's label."""
    ours = {"label": f"{PROJECT_LABEL}={project_id}"}
    volumes = client.volumes(filters=ours)["Volumes"] or ()
    return Observed(
        containers=tuple(
            _container(client.inspect_container(found["Id"])) for found in client.containers(all=True, filters=ours)
        ),
        volumes=frozenset(found["Name"] for found in volumes),
        marks=tuple(
            (found["Name"], found["Labels"][MARKED_LABEL]) for found in volumes if MARKED_LABEL in found["Labels"]
        ),
        networks=tuple(found["Id"] for found in client.networks(filters=ours)),
    )


def _container(found: dict) -> Container:  # type: ignore[type-arg]  # JSON of the engine, read here and nowhere else
    state = found["State"]
    labels = found["Config"]["Labels"]
    # A container that does not run publishes nothing; what it would is what it was made with.
    ports = found["NetworkSettings"]["Ports"] or found["HostConfig"]["PortBindings"] or {}
    bindings = [b for published in ports.values() for b in published or () if b["HostPort"]]
    return Container(
        id=found["Id"],
        name=found["Name"].removeprefix("/"),
        service=Service(labels[SERVICE_LABEL]),
        config_hash=labels.get(HASH_LABEL, ""),
        image_id=found["Image"],
        image=found["Config"]["Image"],
        running=state["Running"],
        started=_time(state["StartedAt"]),
        exit_code=state["ExitCode"],
        health=state.get("Health", {}).get("Status", "none"),
        port=int(bindings[0]["HostPort"]) if bindings else None,
        command=tuple(found["Config"]["Cmd"] or ()),
        network=found["NetworkSettings"]["Networks"].get(found["HostConfig"]["NetworkMode"], {}).get("NetworkID", ""),
        volumes=tuple((mount["Name"], mount["Destination"]) for mount in found["Mounts"] if mount["Type"] == "volume"),
    )


def _time(text: str) -> datetime:
    # The engine writes nanoseconds; datetime reads microseconds.
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6].ljust(6, '0')}").replace(tzinfo=UTC)
