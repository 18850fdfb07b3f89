"""What this room asks of a container engine."""

from collections.abc import Iterator, Sequence
from typing import IO, Any, Protocol


class Engine(Protocol):
    """The part of `docker.APIClient` used here: nothing but its room imports the Docker SDK."""

    def images(self, name: str | None = None) -> list[dict[str, Any]]:
        """List the images of a name."""

    def import_image_from_stream(
        self, stream: Iterator[bytes], *, repository: str, tag: str, changes: Sequence[str]
    ) -> str:
        """Make an image of a root file system; return the engine's status lines."""

    def build(
        self,
        *,
        fileobj: IO[bytes],
        custom_context: bool,
        tag: str,
        buildargs: dict[str, str],
        rm: bool,
        forcerm: bool,
        nocache: bool,
        decode: bool,
    ) -> Iterator[dict[str, Any]]:
        """Build an image of a context in tar format; yield the engine's messages."""
