"""The servers' logs as one stream of lines."""

import queue
import threading
from collections.abc import Iterator, Sequence

from infra.config.identity import Project, Service
from infra.stack import lifecycle

_Lines = queue.Queue[str | Exception | None]


def read(project: Project, services: Sequence[Service], lines: int, *, follow: bool) -> Iterator[str]:
    """Yield the last `lines` of each log, named where there is more than one; with `follow` go on with each new line.

    Raises:
        StackError: what is remembered of the stack cannot be read.
        EnvironmentFault: its engine does not answer.
    """
    width = max(len(service) for service in services)
    prefix = {service: f"{service:{width}} | " if len(services) > 1 else "" for service in services}
    if not follow or len(services) == 1:
        for service in services:
            yield from (prefix[service] + line for line in lifecycle.logs(project, service, lines, follow=follow))
        return
    arrived: _Lines = queue.Queue()
    for service in services:
        # Daemons: they wait for lines that may never come, and must not keep the command from ending.
        following = (project, service, lines, prefix[service], arrived)
        threading.Thread(target=_follow, args=following, daemon=True).start()
    for _ in services:
        while (line := arrived.get()) is not None:
            if isinstance(line, Exception):
                raise line
            yield line


def _follow(project: Project, service: Service, lines: int, prefix: str, arrived: _Lines) -> None:
    try:
        for line in lifecycle.logs(project, service, lines, follow=True):
            arrived.put(prefix + line)
        arrived.put(None)
    except Exception as error:  # carried to the thread that prints, which says what it means
        arrived.put(error)
