"""Carry out planned operations. Decides nothing; each step tells `undo` how to take it back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from infra.backends.docker.engine import Client
from infra.backends.docker.errors import explained
from infra.backends.docker.observe import Observed
from infra.backends.docker.ownership import MARKED_LABEL, SET_ASIDE_SUFFIX
from infra.backends.docker.plan import OF_A_SERVICE, Verb, network_name
from infra.backends.docker.volume import mend_lock
from infra.backends.protocol import Operation
from infra.backends.steps import run_uninterrupted
from infra.config.endpoints import HOST
from infra.config.errors import StackError
from infra.config.identity import Service
from infra.declaration.spec import ContainerSpec, StackSpec

if TYPE_CHECKING:
    from infra.backends.docker.template import Template

STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class UpExecutor:
    """What the operations of `plan_up` are carried out with: where one initialises data, from `template`.

    `made` holds the containers that were created, which are not stopped but removed where all is taken back.
    """

    client: Client
    spec: StackSpec
    template: "Template | None"
    undo: ExitStack
    made: set[str] = field(default_factory=set)

    def run(self, operations: Sequence[Operation]) -> None:
        """Carry the operations out, those of different services at the same time.

        Raises:
            EnvironmentFault: the engine refuses, as for a port that is taken.
        """
        names = {name: c.name for c in self.spec.containers for name in (c.name, c.volume)}
        services: dict[str, list[Operation]] = {}
        for operation in operations:
            if operation.verb in OF_A_SERVICE:
                services.setdefault(names[operation.target], []).append(operation)
            else:
                run_uninterrupted(partial(self._run_step, operation))
        # Also after an interrupt a service's steps end before anything is taken back.
        with ThreadPoolExecutor() as threads:
            taken = [threads.submit(self._run_step, *steps) for steps in services.values()]
            for future in taken:
                future.result()

    def _run_step(self, *operations: Operation) -> None:
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
            Verb.UNPAUSE_CONTAINER: self._unpause,
        }
        for operation in operations:
            with explained(operation):
                steps[operation.verb](operation.target)

    def _create_network(self, name: str) -> None:
        network = self.client.create_network(name, driver="bridge", labels=self.spec.labels)
        self.undo.callback(_quietly, self.client.remove_network, network["Id"])

    def _create_volume(self, name: str) -> None:
        mark = uuid4().hex
        self.undo.callback(_quietly, _remove_marked_volume, self.client, name, mark)
        made = self.client.create_volume(name, labels=self.spec.labels | {MARKED_LABEL: mark})
        if not _is_marked(made, mark):
            raise StackError(
                f"The volume {name} was made by somebody else meanwhile. Run `invoke up` again.", in_the_way=(name,)
            )

    def _create_container(self, name: str) -> None:
        made = create_container(self.client, self.spec, _find_declared(self.spec, name))
        self.undo.callback(_quietly, _remove_container, self.client, made)
        self.made.add(name)

    def _initialise(self, name: str) -> None:
        assert self.template is not None  # noqa: S101 - who plans the step opens it
        self.undo.push(partial(_discard_template, self.template))
        self.template.fill(self.client, _find_declared(self.spec, name))

    def _start(self, name: str) -> None:
        if name not in self.made:
            self.undo.callback(_quietly, self.client.stop, name, timeout=STOP_SECONDS)
        declared = _find_declared(self.spec, name)
        if declared.service == Service.POSTGRES and declared.volume is not None:
            mend_lock(self.client, name, declared.data_path)
        self.client.start(name)

    def _unpause(self, name: str) -> None:
        self.client.unpause(name)
        self.undo.callback(_quietly, self.client.pause, name)


def _remove_marked_volume(client: Client, name: str, mark: str) -> None:
    """Remove a volume if it is the one with this mark: to create one that is there already is no error to an engine."""
    if _is_marked(client.inspect_volume(name), mark):
        client.remove_volume(name)


def _is_marked(volume: Mapping[str, Any], mark: str) -> bool:
    return (volume["Labels"] or {}).get(MARKED_LABEL) == mark


def _discard_template(template: "Template", kind: type[BaseException] | None, *_: object) -> None:
    """Remove the archive where what was made from it came to nothing: it may be what is damaged."""
    if kind is not None and issubclass(kind, Exception):
        template.discard()


def _find_declared(spec: StackSpec, name: str) -> ContainerSpec:
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
                    _remove_unused_network(client, operation.target)
                case Verb.REMOVE_VOLUME:
                    client.remove_volume(operation.target)
                case _:
                    raise AssertionError(f"no step on the way down: {operation}")


def _remove_unused_network(client: Client, network: str) -> None:
    """Remove a network unless somebody else's containers are connected to it: the engine refuses that."""
    from docker.errors import APIError

    try:
        client.remove_network(network)
    except APIError as error:
        if error.response is None or error.response.status_code not in {HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT}:
            raise


def drop_set_aside(client: Client, observed: Observed) -> None:
    """Remove the containers that new ones have replaced for good."""
    for container in observed.containers:
        if container.name.endswith(SET_ASIDE_SUFFIX):
            step = Operation(Verb.REMOVE_CONTAINER, container.id, "another one took its place", container.name)
            with explained(step), _gone_is_fine():
                _remove_container(client, container.id)


def create_container(client: Client, spec: StackSpec, declared: ContainerSpec) -> str:
    """Create (and do not start) a container as declared; return its id."""
    return str(client.create_container(**container_arguments(client, spec, declared), name=declared.name)["Id"])


def container_arguments(client: Client, spec: StackSpec, declared: ContainerSpec) -> dict[str, Any]:
    """Read a container's declaration as the SDK takes it: sizes in bytes, health times in nanoseconds."""
    health = declared.health
    network = network_name(spec)
    return {
        "image": declared.image,
        "command": list(declared.command) or None,
        "environment": dict(declared.environment) | {key: secret.reveal() for key, _, secret in declared.secrets},
        "ports": [inside for inside, _ in declared.ports],
        "labels": spec.labels | declared.labels,
        "healthcheck": health
        and {
            "test": ["CMD", *health.command],
            "interval": int(health.interval.total_seconds() * 1e9),
            "timeout": int(health.timeout.total_seconds() * 1e9),
            "start_period": int(health.start_period.total_seconds() * 1e9),
            "retries": health.retries,
        },
        "stop_signal": declared.stop_signal or None,
        "host_config": client.create_host_config(
            binds=[f"{declared.volume}:{declared.mount_path}"] if declared.volume else [],
            tmpfs={} if declared.volume or not declared.mount_path else {declared.mount_path: ""},
            port_bindings={inside: (HOST, port) if port else (HOST,) for inside, port in declared.ports},
            shm_size=declared.shm_size,
            network_mode=network,
        ),
        "networking_config": client.create_networking_config(
            # Its stub asks for one endpoint, and the SDK for a mapping of networks to endpoints.
            {network: client.create_endpoint_config(aliases=[declared.service])}  # type: ignore[arg-type]
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
