"""What an engine says of itself and of images, for `doctor`: asked within seconds, nothing got or changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from infra.backends.docker.engine import Endpoint, connect, find_endpoint
from infra.backends.docker.images import image_id
from infra.config.errors import EngineUnavailable
from infra.images.names import stand_in_of

_ANSWER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answers; `root` is the folder of its data, on its own machine."""

    endpoint: Endpoint
    version: str
    api_low: str
    api_high: str
    api_used: str
    root: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where an image would come from: this machine, a stand-in, a registry; `missing` says why from nowhere."""

    wanted: str
    where: str = ""
    missing: str = ""


def about_engine() -> Engine:
    """Ask the engine that `up` would use.

    Raises:
        EngineUnavailable: no engine answers.
    """
    endpoint = find_endpoint()
    client = connect(endpoint)
    client.timeout = _ANSWER_SECONDS
    try:
        with _answering(endpoint):
            version, info = client.version(), client.info()
            used = str(client.api_version)
    finally:
        client.close()
    return Engine(
        endpoint=endpoint,
        version=version["Version"],
        api_low=version.get("MinAPIVersion", "?"),
        api_high=version["ApiVersion"],
        api_used=used,
        root=info.get("DockerRootDir", ""),
    )


def image_source(reference: str) -> Source:
    """Say where `up` would have an image from. Where it is on this machine nothing is asked of the network.

    Raises:
        EngineUnavailable: the engine does not answer any more.
    """
    from docker.errors import APIError

    endpoint = find_endpoint()
    client = connect(endpoint)
    client.timeout = _ANSWER_SECONDS
    stand_in = stand_in_of(reference)
    try:
        with _answering(endpoint):
            if image_id(client, reference) is not None:
                return Source(reference, "on this machine")
            if stand_in is not None and image_id(client, stand_in) is not None:
                return Source(
                    reference, f"not on this machine; where it cannot be pulled, the stand-in {stand_in} serves"
                )
        client.inspect_distribution(reference)  # type: ignore[no-untyped-call]  # its stub has no types
    except APIError as error:
        return Source(reference, missing=" ".join(str(error.explanation or error).split()))
    except OSError:  # the HTTP library's errors are of this kind
        return Source(reference, missing=f"the registry did not answer within {_ANSWER_SECONDS} s")
    finally:
        client.close()
    return Source(reference, "to be pulled: the registry offers it")


@contextmanager
def _answering(endpoint: Endpoint) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # the HTTP library's errors are of this kind
        raise EngineUnavailable(
            f"The engine at {endpoint.url} (from {endpoint.source}) stopped answering ({type(error).__name__}). "
            "Restart it, or set STACK_BACKEND=embedded.",
            absent=False,
            endpoint=endpoint.url,
        ) from None
