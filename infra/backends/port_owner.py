"""Who holds a port: a container, or a process, as far as this user may see."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

# What listens on the ports of containers, in their place.
_ENGINE_PROGRAMS = ("docker-proxy", "rootlessport", "com.docker.backend", "gvproxy", "conmon", "slirp4netns", "pasta")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a port, and the command that ends it where there is one to name."""

    name: str
    stop: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def remedy(self) -> str:
        """What the user can do about the holder."""
        return f"Stop it with `{self.stop}`" if self.stop else "Stop it"


def port_owner(port: int) -> Holder:
    """Name the container that publishes a port, else the process that listens on it, as far as this user may see."""
    process = _listener(port)
    # Only where the process is an engine's, or cannot be seen: what else listens is no container's.
    if process is None or process.name in _ENGINE_PROGRAMS:
        with suppress(ModuleNotFoundError):  # without the SDK the engine cannot be asked
            from infra.backends.docker.publisher import container_publishing

            published = container_publishing(port)
            if published is not None:
                return published
    return _holder_of(process) if process else Holder("another program")


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    name: str
    words: tuple[str, ...]


def _listener(port: int) -> _Process | None:
    """Return the process that listens on a port, None where this user may not see it."""
    try:
        import psutil
    except ModuleNotFoundError:
        return None
    with suppress(psutil.Error):
        for found in psutil.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr and found.laddr.port == port and found.pid:
                process = psutil.Process(found.pid)
                return _Process(found.pid, process.name(), tuple(process.cmdline()))
    return None


def _holder_of(process: _Process) -> Holder:
    """Name a process; of a server of another checkout's stack, which has its folder among its words, that as well."""
    name = f"process {process.pid} ({process.name})"
    for folder in (folder for word in process.words for folder in Path(word).parents):
        with suppress(OSError, ValueError, KeyError, TypeError):
            path = json.loads((folder / "state.json").read_text(encoding="utf-8"))["path"]
            return Holder(f"{name} of the project {folder.name} in {path}", f"cd {quote(path)} && invoke down")
    return Holder(name)
