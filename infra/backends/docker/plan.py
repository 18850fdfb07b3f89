"""Decide what leads from what the engine holds to what is declared. Pure: no engine, no clock, no file."""

from collections.abc import Collection, Iterator
from enum import StrEnum

from infra.backends import protocol
from infra.backends.docker.observe import Container, Observed
from infra.backends.drift import describe_changes, differences
from infra.backends.protocol import Operation
from infra.config.identity import Service
from infra.declaration.spec import ContainerSpec, StackSpec


class Verb(StrEnum):
    """What can be done to a thing of the engine."""

    CREATE_NETWORK = "create network"
    CREATE_VOLUME = "create volume"
    REMOVE_VOLUME = "remove volume"
    INITIALISE = protocol.INITIALISE
    SET_ASIDE = "set aside container"
    REMOVE_CONTAINER = "remove container"
    CREATE_CONTAINER = "create container"
    START_CONTAINER = "start container"
    UNPAUSE_CONTAINER = "unpause container"
    STOP_CONTAINER = "stop container"
    REMOVE_NETWORK = "remove network"


def network_name(spec: StackSpec) -> str:
    """Return the name of the stack's network."""
    return spec.project.id


# What makes and starts a service: in the order it is planned in, and whatever becomes of the other service.
OF_A_SERVICE = frozenset(
    {
        Verb.REMOVE_VOLUME,
        Verb.CREATE_VOLUME,
        Verb.CREATE_CONTAINER,
        Verb.INITIALISE,
        Verb.START_CONTAINER,
        Verb.UNPAUSE_CONTAINER,
    }
)
# Before that, what frees a name or a network comes before what takes it.
_ORDER = {Verb.REMOVE_CONTAINER: 0, Verb.SET_ASIDE: 0, Verb.REMOVE_NETWORK: 1, Verb.CREATE_NETWORK: 2}


def plan_up(spec: StackSpec, observed: Observed) -> tuple[Operation, ...]:
    """Return the operations that lead to `spec`, in order, each with its cause; none where all is as declared."""
    network = _choose_network(observed)
    services = (op for container in spec.containers for op in _service(container, observed, network))
    steps = (*_networks(spec, observed, network), *services)
    return tuple(sorted(steps, key=lambda step: _ORDER.get(Verb(step.verb), len(_ORDER))))


def plan_down(
    observed: Observed, *, volumes: bool, services: Collection[Service] | None = None
) -> tuple[Operation, ...]:
    """Return the operations that end these servers; everything that `up` made for them is removed only with `volumes`.

    A container that is kept starts in half the time of a new one.
    """
    whole = services is None
    cause = "the stack goes down" if whole else "it is to go down"
    containers = [container for container in observed.containers if services is None or container.service in services]
    if not volumes:
        return tuple(Operation(Verb.STOP_CONTAINER, c.id, cause) for c in containers if c.running)
    given_up = sorted(observed.volumes_of(services) - observed.kept)
    return (
        *(Operation(Verb.REMOVE_CONTAINER, container.id, cause) for container in containers),
        *(Operation(Verb.REMOVE_NETWORK, network, cause) for network in observed.networks if whole),
        *(Operation(Verb.REMOVE_VOLUME, name, "its data is given up") for name in given_up),
    )


def _choose_network(observed: Observed) -> str | None:
    """Choose the network to go on with: one that a server runs in, where there is one."""
    in_use = [container.network for container in observed.containers if container.running]
    return next((network for network in (*in_use, *observed.networks) if network in observed.networks), None)


def _networks(spec: StackSpec, observed: Observed, kept: str | None) -> Iterator[Operation]:
    if kept is None:
        yield Operation(Verb.CREATE_NETWORK, network_name(spec), "there is none")
    for network in observed.networks:
        if network != kept:
            # An engine lets two networks have one name, and then starts no container in either.
            yield Operation(Verb.REMOVE_NETWORK, network, "it is one of several", network_name(spec))


def _service(declared: ContainerSpec, observed: Observed, network: str | None) -> Iterator[Operation]:
    current = next((c for c in observed.of(declared.service) if c.name == declared.name), None)
    for container in observed.of(declared.service):
        if container is not current:
            cause = "it was left by an interrupted command"
            yield Operation(Verb.REMOVE_CONTAINER, container.id, cause, container.name)
    drift = _drift(declared, current, observed, network)
    if current is not None and drift is None:
        if current.paused:
            yield Operation(Verb.UNPAUSE_CONTAINER, declared.name, "it is paused")
        if current.running:
            return
        if declared.volume not in observed.uninitialised:
            yield Operation(Verb.START_CONTAINER, declared.name, f"it is stopped (exit code {current.exit_code})")
            return
    if current is not None and declared.volume in observed.uninitialised:
        cause = "the first start of its data was never finished"
        yield Operation(Verb.REMOVE_CONTAINER, current.id, cause, current.name)
    elif current is not None:
        yield Operation(Verb.SET_ASIDE, current.id, drift or "", current.name)
    volume = tuple(_volume(declared, observed))
    yield from volume
    yield Operation(Verb.CREATE_CONTAINER, declared.name, drift or "it starts with new data")
    if (volume or declared.volume in observed.empty) and declared.service == Service.POSTGRES:
        yield Operation(Verb.INITIALISE, declared.name, "a template of it takes less time than the image's first start")
    yield Operation(Verb.START_CONTAINER, declared.name, "it is new")


def _volume(declared: ContainerSpec, observed: Observed) -> Iterator[Operation]:
    if declared.volume is None:
        return
    if declared.volume not in observed.volumes:
        yield Operation(Verb.CREATE_VOLUME, declared.volume, "there is none")
    elif declared.volume in observed.uninitialised:
        yield Operation(Verb.REMOVE_VOLUME, declared.volume, "its first start was never finished, so it holds no data")
        yield Operation(Verb.CREATE_VOLUME, declared.volume, "the unfinished one was removed")


def _drift(declared: ContainerSpec, current: Container | None, observed: Observed, network: str | None) -> str | None:
    """Say in what the container differs from its declaration; None where it does not."""
    if current is None:
        return "there is none"
    if current.config_hash != declared.config_hash:
        return _describe_change(declared, current)
    wanted = dict(observed.image_ids).get(declared.image)
    if wanted is not None and wanted != current.image_id:
        return f"{declared.image} is another image now"
    if current.network is None:
        return "it was disconnected from its network"
    if current.network and current.network != network:
        return "its network was removed"
    return None


def _describe_change(declared: ContainerSpec, current: Container) -> str:
    pairs = {"image": (current.image, declared.image), "port": (current.port, declared.port)}
    command = differences(current.command, declared.command) if current.command else []
    return describe_changes([*(f"{name} {was} → {now}" for name, (was, now) in pairs.items() if was != now), *command])
