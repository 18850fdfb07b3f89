"""What the machine has to offer: folders, disk, shared memory, the programs of plain processes, Compose."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from infra.commands.doctor.findings import Finding, Findings, failed, ok, warn
from infra.config.errors import EnvironmentFault
from infra.config.identity import Project, state_directory
from infra.config.record import unusable
from infra.config.settings import Settings
from infra.stack.locks import lock_holder

_ENOUGH_DISK = 10**9
_NO_DISK = 64 * 1024  # not even the notes and locks of an `up`
_COMPOSE_SECONDS = 5
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the machine's own tmpfs, looked at and not written


def examine_state_folder(project: Project) -> Finding:
    """Look whether the folder of the stack's state can be written, and whether another command has it."""
    folder = state_directory(project)
    if not os.access(existing(folder), os.W_OK | os.X_OK):
        return failed("state", unusable(folder, f"{existing(folder)} is not writable for you"))
    holder = lock_holder(project)
    if holder is not None:
        return warn("state", f"another command on this stack runs ({holder})", "`invoke up` waits for it")
    return ok("state", str(folder))


def existing(path: Path) -> Path:
    """Return the path itself or its closest parent that exists."""
    return next(candidate for candidate in (path, *path.parents) if candidate.exists())


def examine_programs(found: Findings, settings: Settings, *, needed: bool) -> None:
    """Look for the programs of plain processes, of the versions that the settings ask for."""
    from infra.backends.embedded.binaries import find_postgres, find_redis

    version, redis = settings.postgres_version, settings.redis_version
    wanted: dict[str, Callable[[], str | Path]] = {
        f"PostgreSQL {version}": lambda: find_postgres(version).folder,
        redis.described if redis else "Redis": lambda: find_redis(redis)[0].path,
    }
    for name, find in wanted.items():
        try:
            where = find()
        except EnvironmentFault as error:
            if needed:
                found.add(failed("programs", error))
            else:
                found.add(ok("programs", f"no {name} for plain processes; this stack's backend needs none"))
        else:
            found.add(ok("programs", f"{name} for plain processes: {where}"))


def examine_disk(purpose: str, folder: Path) -> Finding:
    """Look how much room there is where the data lives."""
    return judged_disk(purpose, folder, shutil.disk_usage(existing(folder)).free)


def judged_disk(purpose: str, folder: Path, free: int) -> Finding:
    """Judge the free bytes of the file system that holds `folder`."""
    found = f"{free / 1e9:.1f} GB free for {purpose} ({folder})"
    if free < _NO_DISK:
        return failed("disk", EnvironmentFault(f"{found}. Make room there: nothing more can be written."))
    if free < _ENOUGH_DISK:
        return warn("disk", found, "Make room: a full disk stops PostgreSQL, and a first start needs some 100 MB")
    return ok("disk", found)


def examine_shared_memory() -> Finding:
    """Look at the tmpfs that PostgreSQL's processes share and that holds the tests' data."""
    if not os.access(SHARED_MEMORY, os.W_OK):
        return warn(
            "memory",
            f"{SHARED_MEMORY} is not writable",
            "Plain processes share files on disk instead, and the tests' data is there too: slower, nothing else",
        )
    usage = shutil.disk_usage(SHARED_MEMORY)
    return ok("memory", f"{SHARED_MEMORY}: {usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free")


def examine_compose() -> Finding:
    """Ask for Compose, which only the tests need."""
    remedy = "Only the tests need it: install Compose v2 (apt-get install docker-compose-v2 or docker-compose-plugin)"
    if shutil.which("docker") is None:
        return warn("compose", "there is no docker on the PATH", remedy)
    try:
        asked = ["docker", "compose", "version", "--short"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=_COMPOSE_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return warn("compose", "`docker compose version` does not work", remedy)
    return ok("compose", f"Compose {done.stdout.strip()}")
