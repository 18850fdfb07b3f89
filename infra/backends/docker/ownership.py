"""Whose a thing of the engine is. Pure: decided by its name and its labels together, never by one of them alone.

Labels go along where people copy things: an image that is committed from a container hands its labels to each
container that is run from it, and volumes are copied with theirs. Names are free for everybody to take.
"""

import re
from collections.abc import Mapping
from typing import Any

from infra.config.identity import Service, service_of
from infra.config.versions import POSTGRES_VERSIONS
from infra.declaration.spec import IMAGE_LABEL, PROJECT_LABEL, SERVICE_LABEL, versioned

# On the name of a container that another one takes the place of, until that one serves.
SET_ASIDE_SUFFIX = "-set-aside"
# On that of a container that makes a template of PostgreSQL's data.
TEMPLATE_SUFFIX = "-template"
# On that of a container through which a volume is read.
LOOK_SUFFIX = "-look"

# On the volumes that `up` made itself, and not on those of a compose file: the data counts as complete only with the
# marker. Its value is another one for each volume, since an engine tells no two volumes of one name apart.
MARKED_LABEL = "groundwork.marked"
# What compose writes on the volumes that it makes (Compose Specification, Volumes).
_COMPOSE_LABEL = "com.docker.compose.project"

# The words that the suffixes begin with are in no server's name.
_SUFFIX = re.compile(rf"({SET_ASIDE_SUFFIX}|(-[0-9a-f]{{8}})?({LOOK_SUFFIX}|{TEMPLATE_SUFFIX}))$")


def postgres_volumes(project_id: str) -> dict[str, int]:
    """Return the names of the volumes of PostgreSQL's data, each with its version."""
    return {f"{project_id}-{versioned(Service.POSTGRES, version)}": version for version in POSTGRES_VERSIONS}


def service_of_volume(project_id: str, name: str) -> Service | None:
    """Return the service whose data a volume of the stack's names holds; None for no name of the stack's."""
    if name in postgres_volumes(project_id):
        return Service.POSTGRES
    return service_of(name[len(project_id) + 1 :]) if name.startswith(f"{project_id}-") else None


def is_volume_name(project_id: str, name: str) -> bool:
    """Return whether a volume's name is one of those that the stack gives."""
    return service_of_volume(project_id, name) is not None


def is_own_name(project_id: str, name: str) -> bool:
    """Return whether a container's name is one of those that the stack gives."""
    return _service_in(project_id, name) is not None


def own_service(project_id: str, container: Mapping[str, Any]) -> Service | None:
    """Return the service of a container, as the engine describes it; None where the container is not the stack's.

    A container that is run from an image that was committed from one of the stack's has all labels, and under the name
    of one that was removed or renamed it has the name as well. Its image is another than the one on its label.
    """
    labels = container["Config"]["Labels"] or {}
    service = _service_in(project_id, container["Name"].removeprefix("/"))
    if labels.get(PROJECT_LABEL) != project_id or service is None or labels.get(SERVICE_LABEL) != service:
        return None
    # An engine may write the image with its registry: podman does.
    image = container["Config"]["Image"]
    return service if f"/{labels.get(IMAGE_LABEL, image)}" in f"/{image}" else None


def owns_volume(project_id: str, volume: Mapping[str, Any]) -> bool:
    """Return whether `up`, or compose on the stack's own file, made a volume that has one of the stack's names."""
    labels = volume["Labels"] or {}
    made = MARKED_LABEL in labels or labels.get(_COMPOSE_LABEL) == project_id
    return made and labels.get(PROJECT_LABEL) == project_id


def owns_network(project_id: str, network: Mapping[str, Any]) -> bool:
    """Return whether a network that has the stack's name is the stack's."""
    return (network["Labels"] or {}).get(PROJECT_LABEL) == project_id


def _service_in(project_id: str, name: str) -> Service | None:
    if not name.startswith(f"{project_id}-"):
        return None
    return service_of(_SUFFIX.sub("", name[len(project_id) + 1 :]))
