"""Carry out planned operations. Decides nothing; each step tells `undo` how to take it back."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from typing import Any
from uuid import uuid4

from infra.backend import Operation
from infra.docker_backend.engine import Client
from infra.docker_backend.errors import explained
from infra.docker_backend.observe import MARKED_LABEL, SET_ASIDE_SUFFIX, Observed
from infra.docker_backend.plan import Verb, network_name
from infra.endpoints import HOST
from infra.spec import ContainerSpec, StackSpec
from infra.steps import whole

STOP_SECONDS = 30


def apply_up(client: Client, spec: StackSpec, operations: Sequence[Operation], undo: ExitStack) -> None:
    """Carry out the operations of `plan_up`.

    Raises:
        EnvironmentFault: the engine refuses, as for a port that is taken.
    """
    made: set[str] = set()
    for operation in operations:
        with explained(operation):
            whole(partial(_take, client, spec, operation, made, undo))


def _take(client: Client, spec: StackSpec, operation: Operation, made: set[str], undo: ExitStack) -> None:
    """Take one step; `made` holds the containers that were created, which are not stopped but removed again."""
    match operation.verb:
        case Verb.REMOVE_NETWORK:
            client.remove_network(operation.target)
        case Verb.CREATE_NETWORK:
            network = client.create_network(operation.target, driver="bridge", labels=spec.labels)
            undo.callback(_quietly, client.remove_network, network["Id"])
        case Verb.CREATE_VOLUME:
            client.create_volume(operation.target, labels=spec.labels | {MARKED_LABEL: uuid4().hex})
            undo.callback(_quietly, client.remove_volume, operation.target)
        case Verb.REMOVE_VOLUME:
            client.remove_volume(operation.target)
        case Verb.SET_ASIDE:
            _set_aside(client, operation.target, undo)
        case Verb.REMOVE_CONTAINER:
            _remove_container(client, operation.target)
        case Verb.CREATE_CONTAINER:
            declared = next(container for container in spec.containers if container.name == operation.target)
            create_container(client, spec, declared)
            undo.callback(_quietly, _remove_container, client, operation.target)
            made.add(operation.target)
        case Verb.START_CONTAINER:
            if operation.target not in made:
                undo.callback(_quietly, client.stop, operation.target, timeout=STOP_SECONDS)
            client.start(operation.target)
        case _:
            raise AssertionError(f"no step on the way up: {operation}")


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
