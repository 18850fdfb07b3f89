"""Name the container that publishes a port of this machine, and how to stop it."""

from shlex import quote
from typing import Any

from infra.backends.docker.engine import connect, find_endpoint
from infra.backends.port_owner import Holder
from infra.config.errors import EngineUnavailable
from infra.declaration.spec import PATH_LABEL, PROJECT_LABEL

_COMPOSE_PROJECT = "com.docker.compose.project"
_COMPOSE_FOLDER = "com.docker.compose.project.working_dir"


def container_publishing(port: int) -> Holder | None:
    """Return the container that publishes `port`, None where the engine knows of none or does not answer."""
    try:
        client = connect(find_endpoint())
    except EngineUnavailable:
        return None
    try:
        for found in client.containers():
            if any(published.get("PublicPort") == port for published in found["Ports"]):
                return describe_holder(found)
        return None
    finally:
        client.close()


def describe_holder(found: dict[str, Any]) -> Holder:
    """Say whose a container is by its labels: a stack's like this one, a compose project's, or nobody's known."""
    name = found["Names"][0].removeprefix("/")
    labels = found["Labels"] or {}
    if PROJECT_LABEL in labels:
        path = labels.get(PATH_LABEL, "?")
        return Holder(
            f"the container {name} of the project {labels[PROJECT_LABEL]} in {path}", f"cd {quote(path)} && invoke down"
        )
    if _COMPOSE_PROJECT in labels:
        project, folder = labels[_COMPOSE_PROJECT], labels.get(_COMPOSE_FOLDER, "?")
        return Holder(
            f"the container {name} of the compose project {project} in {folder}", f"docker compose -p {project} stop"
        )
    return Holder(f"the container {name}", f"docker stop {name}")
