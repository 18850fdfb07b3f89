"""Read a container's log, line by line."""

from collections.abc import Iterable, Iterator

from infra.backends.docker.engine import Client


def read_log(client: Client, container: str, lines: int, *, follow: bool) -> Iterator[str]:
    """Yield the last `lines` of a container's log, then with `follow` each new one until the container ends."""
    if follow:
        return split_lines(client.logs(container, tail=lines, stream=True, follow=True))
    return split_lines((client.logs(container, tail=lines),))


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a stream that is cut anywhere; the last one also where it is not ended."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in whole)
    if rest:
        yield rest.decode(errors="replace")
