"""A container engine in memory: as much of one as a plan speaks of, with the refusals of a real one."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from infra.backends.docker.observe import Container, Observed
from infra.backends.docker.ownership import SET_ASIDE_SUFFIX
from infra.backends.docker.plan import Verb, network_name
from infra.backends.protocol import Operation
from infra.config.identity import Service
from infra.declaration.spec import ContainerSpec, StackSpec

OURS, ANOTHERS = "shop-12345678", "shop-87654321"


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume: whose it is, and whether the data on it was ever complete."""

    project: str
    complete: bool


@dataclass
class ModelledEngine:
    """What an engine holds, by name (containers, volumes) or id (networks), each with the project it belongs to."""

    image_ids: dict[str, str]
    containers: dict[str, tuple[str, Container]] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    networks: dict[str, tuple[str, str]] = field(default_factory=dict)
    made: int = 0

    def observe(self, spec: StackSpec) -> Observed:
        """Return what the backend would find of the project."""
        containers = tuple(found for project, found in self.containers.values() if project == OURS)
        volumes = {name: volume for name, volume in self.volumes.items() if volume.project == OURS}
        data = spec.containers[0].volume
        runs = any(found.running for found in containers if found.service == Service.POSTGRES)
        return Observed(
            containers=containers,
            project_id=OURS,
            volumes=frozenset(volumes),
            networks=tuple(network for network, (project, _) in self.networks.items() if project == OURS),
            image_ids=tuple(self.image_ids.items()),
            uninitialised=frozenset(
                name for name in volumes if name == data and not runs and not volumes[name].complete
            ),
        )

    def carry_out(self, spec: StackSpec, operation: Operation) -> None:
        """Do what one operation says, and refuse what an engine would refuse."""
        target = operation.target
        match operation.verb:
            case Verb.CREATE_NETWORK:
                self.networks[self._new_id()] = (OURS, target)
            case Verb.REMOVE_NETWORK:
                assert not [c.name for _, c in self.containers.values() if c.running and c.network == target]
                del self.networks[target]
            case Verb.CREATE_CONTAINER:
                declared = next(container for container in spec.containers if container.name == target)
                assert target not in self.containers
                assert declared.volume is None or declared.volume in self.volumes
                self.containers[target] = (OURS, self._made(declared))
            case Verb.START_CONTAINER:
                self._start(spec, target)
            case Verb.SET_ASIDE:
                name = self._name_of(target)
                assert name + SET_ASIDE_SUFFIX not in self.containers
                project, found = self.containers.pop(name)
                aside = found._replace(name=name + SET_ASIDE_SUFFIX, running=False)
                self.containers[aside.name] = (project, aside)
            case Verb.STOP_CONTAINER:
                self._change(self._name_of(target), running=False)
            case Verb.REMOVE_CONTAINER:
                del self.containers[self._name_of(target)]
            case _:
                self._carry_out_on_a_volume(spec, operation)

    def _carry_out_on_a_volume(self, spec: StackSpec, operation: Operation) -> None:
        target = operation.target
        match operation.verb:
            case Verb.CREATE_VOLUME:
                assert target not in self.volumes
                self.volumes[target] = Volume(OURS, complete=False)
            case Verb.REMOVE_VOLUME:
                assert not [c.name for _, c in self.containers.values() if target in dict(c.volumes)]
                del self.volumes[target]
            case Verb.INITIALISE:
                data = spec.containers[0].volume
                assert data is not None
                assert not self.containers[target][1].running
                assert not self.volumes[data].complete
            case _:
                raise AssertionError(f"no such step: {operation}")

    def confirm(self) -> None:
        """Do what a stack that was proven does: its data is complete, and what was set aside goes."""
        for name, volume in self.volumes.items():
            if volume.project == OURS:
                self.volumes[name] = replace(volume, complete=True)
        for name, (project, found) in list(self.containers.items()):
            if project == OURS and found.name.endswith(SET_ASIDE_SUFFIX):
                del self.containers[name]

    def _start(self, spec: StackSpec, name: str) -> None:
        found = self.containers[name][1]
        named = [network for network, (_, called) in self.networks.items() if called == network_name(spec)]
        # The engine remembers the network of a container that was started, and finds a new one's by name.
        network = found.network or (named[0] if len(named) == 1 else "ambiguous, or none")
        assert network in self.networks
        self._change(name, running=True, network=network)

    def _change(self, name: str, *, running: bool, network: str | None = None) -> None:
        project, found = self.containers[name]
        changed = found._replace(running=running, network=found.network if network is None else network)
        self.containers[name] = (project, changed)

    def _made(self, declared: ContainerSpec) -> Container:
        return Container(
            id=self._new_id(),
            name=declared.name,
            service=declared.service,
            config_hash=declared.config_hash,
            image_id=self.image_ids[declared.image],
            image=declared.image,
            running=False,
            started=datetime(2026, 1, 1, tzinfo=UTC),
            exit_code=0,
            health="none",
            port=declared.port,
            volumes=((declared.volume, declared.mount_path),) if declared.volume else (),
        )

    def _name_of(self, container: str) -> str:
        return next(name for name, (_, found) in self.containers.items() if found.id == container)

    def _new_id(self) -> str:
        self.made += 1
        return f"made-{self.made}"
