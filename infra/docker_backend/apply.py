"""Carry out planned operations. Decides nothing; each step tells `undo` how to take it back."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from infra.backend import Operation
from infra.docker_backend.engine import Client
from infra.docker_backend.errors import explained
from infra.docker_backend.observe import MARKED_LABEL, SET_ASIDE_SUFFIX, Observed
from infra.docker_backend.plan import OF_A_SERVICE, Verb, network_name
from infra.endpoints import HOST
from infra.spec import ContainerSpec, StackSpec
from infra.steps import whole

if TYPE_CHECKING:
    from infra.docker_backend.template import Template

STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class WayUp:
    """What the operations of `plan_up` are carried out with: where one initialises data, from `template`.

    `made` holds the containers that were created, which are not stopped but removed where all is taken back.
    """

    client: Client
    spec: StackSpec
    template: "Template | None"
    undo: ExitStack
    made: set[str] = field(default_factory=set)

    def go(self, operations: Sequence[Operation], meanwhile: Callable[[], None]) -> None:
        """Carry the operations out; call `meanwhile` once the engine has been asked for what takes long.

        Raises:
            EnvironmentFault: the engine refuses, as for a port that is taken.
        """
        names = {name: c.name for c in self.spec.containers for name in (c.name, c.volume)}
        services: dict[str, list[Operation]] = {}
        for operation in operations:
            if operation.verb in OF_A_SERVICE:
                services.setdefault(names[operation.target], []).append(operation)
            else:
                whole(partial(self._take, operation))
        # Also after an interrupt a service's steps end before anything is taken back.
        with ThreadPoolExecutor() as threads:
            taken = [threads.submit(self._take, *steps) for steps in services.values()]
            meanwhile()
            for one in taken:
                one.result()

    def _take(self, *operations: Operation) -> None:
        steps: dict[str, Callable[[str], None]] = {
            Verb.REMOVE_NETWORK: self.client.remove_network,
            Verb.CREATE_NETWORK: self._create_network,
            Verb.CREATE_VOLUME: self._create_volume,
            Verb.REMOVE_VOLUME: self.client.remove_volume,
            Verb.SET_ASIDE: lambda target: _set_aside(self.client, target, self.undo),
            Verb.REMOVE_CONTAINER: lambda target: _remove_container(self.client, target),
            Verb.CREATE_CONTAINER: self._create_container,
            Verb.INITIALISE: self._initialise,
            Verb.START_CONTAINER: self._start,
        }
        for operation in operations:
            with explained(operation):
                steps[operation.verb](operation.target)

    def _create_network(self, name: str) -> None:
        network = self.client.create_network(name, driver="bridge", labels=self.spec.labels)
        self.undo.callback(_quietly, self.client.remove_network, network["Id"])

    def _create_volume(self, name: str) -> None:
        self.client.create_volume(name, labels=self.spec.labels | {MARKED_LABEL: uuid4().hex})
        self.undo.callback(_quietly, self.client.remove_volume, name)

    def _create_container(self, name: str) -> None:
        create_container(self.client, self.spec, _declared(self.spec, name))
        self.undo.callback(_quietly, _remove_container, self.client, name)
        self.made.add(name)

    def _initialise(self, name: str) -> None:
        assert self.template is not None  # noqa: S101 - who plans the step opens it
        self.undo.push(partial(_distrust, self.template))
        self.template.fill(self.client, _declared(self.spec, name))

    def _start(self, name: str) -> None:
        if name not in self.made:
            self.undo.callback(_quietly, self.client.stop, name, timeout=STOP_SECONDS)
        self.client.start(name)


def _distrust(template: "Template", kind: type[BaseException] | None, *_: object) -> None:
    """Remove the archive where what was made from it came to nothing: it may be what is damaged."""
    if kind is not None and issubclass(kind, Exception):
        template.discard()


def _declared(spec: StackSpec, name: str) -> ContainerSpec:
    return next(container for container in spec.containers if container.name == name)


def apply_down(client: Client, operations: Iterable[Operation]) -> None:
    """Carry out the operations of `plan_down`; what is gone already is no error."""
    for operation in operations:
        with explained(operation), _gone_is_fine():
            match operation.verb:
                case Verb.STOP_CONTAINER:
                    client.stop(operation.target, timeout=STOP_SECONDS)
                case Verb.REMOVE_CONTAINER:
                    _remove_container(client, operation.target)
                case Verb.REMOVE_NETWORK:
                    client.remove_network(operation.target)
                case Verb.REMOVE_VOLUME:
                    client.remove_volume(operation.target)
                case _:
                    raise AssertionError(f"no step on the way down: {operation}")


def drop_set_aside(client: Client, observed: Observed) -> None:
    """Remove the containers that new ones have replaced for good."""
    for container in observed.containers:
        if container.name.endswith(SET_ASIDE_SUFFIX):
            with _gone_is_fine():
                _remove_container(client, container.id)


def create_container(client: Client, spec: StackSpec, declared: ContainerSpec) -> None:
    """Create (and do not start) a container as declared."""
    client.create_container(**container_arguments(client, spec, declared), name=declared.name)


def container_arguments(client: Client, spec: StackSpec, declared: ContainerSpec) -> dict[str, Any]:
    """Read a container's declaration as the SDK takes it: sizes in bytes, health times in nanoseconds."""
    health = declared.health
    network = network_name(spec)
    return {
        "image": declared.image,
        "command": list(declared.command),
        "environment": dict(declared.environment) | {key: secret.reveal() for key, _, secret in declared.secrets},
        "ports": [declared.container_port],
        "labels": spec.labels | declared.labels,
        "healthcheck": {
            "test": ["CMD", *health.command],
            "interval": int(health.interval.total_seconds() * 1e9),
            "timeout": int(health.timeout.total_seconds() * 1e9),
            "start_period": int(health.start_period.total_seconds() * 1e9),
            "retries": health.retries,
        },
        "stop_signal": declared.stop_signal,
        "host_config": client.create_host_config(
            binds=[f"{declared.volume}:{declared.data_path}"] if declared.volume else [],
            tmpfs={} if declared.volume else {declared.data_path: ""},
            port_bindings={declared.container_port: (HOST, declared.port) if declared.port else (HOST,)},
            shm_size=declared.shm_size,
            network_mode=network,
        ),
        "networking_config": client.create_networking_config(
            {network: client.create_endpoint_config(aliases=[declared.service.value])}
        ),
    }


def _set_aside(client: Client, container: str, undo: ExitStack) -> None:
    """Stop a container and move it out of the way of the one that replaces it, so that it can come back."""
    before = client.inspect_container(container)
    name = before["Name"].removeprefix("/")
    client.stop(container, timeout=STOP_SECONDS)
    if before["State"]["Running"]:
        undo.callback(_quietly, client.start, container)
    client.rename(container, name + SET_ASIDE_SUFFIX)
    undo.callback(_quietly, client.rename, container, name)


def _remove_container(client: Client, container: str) -> None:
    # v: the anonymous volumes that an image declares go with their container.
    client.remove_container(container, v=True, force=True)


def _gone_is_fine() -> AbstractContextManager[None]:
    from docker.errors import NotFound

    return suppress(NotFound)


def _quietly(action: Any, *arguments: Any, **options: Any) -> None:
    """Take one step back; a step that fails must not keep the ones before it from being taken back."""
    from docker.errors import DockerException

    with suppress(DockerException):
        action(*arguments, **options)
