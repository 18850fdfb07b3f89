"""Where `up` and `down` stop because of what somebody else has: a name, or the data. Pure; nothing was changed yet."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from infra.backends.docker.observe import Observed, Stranger
from infra.backends.docker.ownership import SET_ASIDE_SUFFIX, own_service
from infra.backends.docker.plan import Verb, network_name
from infra.backends.protocol import Operation
from infra.config.errors import StackError
from infra.declaration.spec import StackSpec


def refuse_taken_names(spec: StackSpec, observed: Observed, operations: tuple[Operation, ...]) -> None:
    """Refuse to go on where somebody else has a name that the operations need.

    Raises:
        StackError: names the container or network, and what to do with it.
    """
    created = {step.target for step in operations if step.verb == Verb.CREATE_CONTAINER}
    aside = {step.title + SET_ASIDE_SUFFIX for step in operations if step.verb == Verb.SET_ASIDE}
    network = {network_name(spec)} if operations else set()
    for stranger in observed.strangers:
        if stranger.name in (network if stranger.kind == "network" else created | aside):
            raise StackError(
                f"The stack needs the name {stranger.name}, and a {stranger.kind} has it that `up` did not make "
                f"({stranger.description}). Nothing was started or changed. {_ways_out(stranger)}; then run `invoke "
                "up` again.",
                in_the_way=(stranger.name,),
            )


def _ways_out(stranger: Stranger) -> str:
    if stranger.kind == "network":
        return f"Remove it with `docker network rm {stranger.name}`"
    return f"Rename it with `docker rename {stranger.name} NAME`, or remove it with `docker rm --force {stranger.name}`"


def refuse_shared_data(project_id: str, users: Sequence[Mapping[str, Any]], volumes: Collection[str]) -> None:
    """Refuse to start a server on a volume that another running container may write to: two servers destroy the data.

    `users` are the running containers that mount one of the `volumes`, as the engine describes them.

    Raises:
        StackError: names the container and the volume.
    """
    for found in users:
        written = [m["Name"] for m in found["Mounts"] if m.get("Name") in volumes and m["RW"]]
        if written and own_service(project_id, found) is None:
            name = found["Name"].removeprefix("/")
            raise StackError(
                f"The container {name}, which `up` did not make under this name, runs with the volume {written[0]}. "
                "Two servers on one data folder destroy it, so nothing was started or changed. Stop that container "
                f"with `docker stop {name}`, then run `invoke up` again.",
                in_the_way=(name, written[0]),
            )


def refuse_used_data(project_id: str, users: Sequence[Mapping[str, Any]], volumes: Collection[str]) -> None:
    """Refuse to remove volumes that another container mounts, running or not: no engine does that.

    Raises:
        StackError: names the container and the volume.
    """
    for found in users:
        mounted = [m["Name"] for m in found["Mounts"] if m.get("Name") in volumes]
        if mounted and own_service(project_id, found) is None:
            name = found["Name"].removeprefix("/")
            raise StackError(
                f"The volume {mounted[0]} cannot be removed: the container {name}, which `up` did not make under this "
                "name, mounts it. Nothing was stopped or removed. Remove that container with `docker rm --force "
                f"{name}`, then run `invoke down --volumes` again; or keep the data with `invoke down`.",
                in_the_way=(name, mounted[0]),
            )
