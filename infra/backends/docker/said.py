"""Ask a program in a declared image, in a container that is gone afterwards."""

from pathlib import PurePosixPath
from uuid import uuid4

from infra.backends.docker.engine import Client
from infra.backends.docker.errors import explained
from infra.backends.docker.ownership import LOOK_SUFFIX
from infra.backends.protocol import Operation
from infra.declaration.spec import ContainerSpec, StackSpec


def said_by(client: Client, spec: StackSpec, declared: ContainerSpec, program: str, *words: str) -> str:
    """Return what a program prints; empty where the image has no such program."""
    from docker.errors import APIError

    with explained(Operation("look into", declared.image, "")):
        made = client.create_container(
            declared.image,
            entrypoint=[program],
            command=list(words),
            name=f"{declared.name}-{uuid4().hex[:8]}{LOOK_SUFFIX}",
            labels=spec.labels | declared.labels,
            host_config=client.create_host_config(network_mode="none"),
        )
        try:
            client.start(made)
            client.wait(made)
            return str(client.logs(made, stderr=False).decode(errors="replace"))
        except APIError:
            return ""
        finally:
            client.remove_container(made["Id"], v=True, force=True)


def extensions_in(client: Client, spec: StackSpec, declared: ContainerSpec) -> frozenset[str]:
    """Return the extensions of an image of PostgreSQL, by their control files (PostgreSQL manual, 36.17.1).

    Where they lie is each image's own matter.
    """
    found = said_by(client, spec, declared, "find", "/usr", "/opt", "-path", "*/extension/*.control")
    return frozenset(PurePosixPath(path).stem for path in found.split())
