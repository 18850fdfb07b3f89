"""What this machine lacks for a backend; each reason is one sentence."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import pytest

from infra.config.errors import InfraError
from infra.config.settings import BackendChoice, Settings
from infra.declaration.spec import wanted_images

NO_FILE = Path(os.devnull)
# The servers that the tests run on may be others than the default ones; the option --postgres says so here as well.
_KEYS = ("POSTGRES_VERSION", "POSTGRES_IMAGE", "REDIS_VERSION", "REDIS_IMAGE")
CHOSEN = {key: os.environ[key] for key in _KEYS if key in os.environ}


def chosen_settings() -> Settings:
    """Return the settings that say which servers the tests run on."""
    return Settings.load(NO_FILE, CHOSEN)


BACKENDS = (BackendChoice.DOCKER, BackendChoice.EMBEDDED)


def chosen(config: pytest.Config) -> list[BackendChoice]:
    """Return the backends that the run is to use."""
    return [choice for choice in BACKENDS if config.getoption("--backend") in {"auto", choice}]


def quickest_first(backends: Iterable[BackendChoice]) -> list[BackendChoice]:
    """Return backends with the quickest one that is available first."""
    return sorted(backends, key=lambda choice: (LACKS[choice]() is not None, choice is BackendChoice.DOCKER))


def needs(choice: BackendChoice, config: pytest.Config) -> None:
    """Skip the test where the backend is not available; fail it where the run asks for that backend."""
    lacking = LACKS[choice]()
    if lacking is None:
        return
    if config.getoption("--backend") == choice or (choice is BackendChoice.DOCKER and docker_is_required()):
        pytest.fail(f"the {choice} backend is asked for and not available: {lacking}", pytrace=False)
    pytest.skip(lacking)


def docker_is_required() -> bool:
    """Return whether a run is to fail where it could only skip what needs an engine."""
    return os.environ.get("STACK_REQUIRE_DOCKER") == "1"


@functools.cache
def docker_lacks() -> str | None:
    """Return why nothing can run on a container engine here, None where it can."""
    try:
        from infra.backends.docker import images
        from infra.backends.docker.engine import connect, find_endpoint
        from infra.images.names import stand_in_of

        client = connect(find_endpoint())
    except (ImportError, InfraError) as error:
        return f"no engine: {error}"
    for wanted in wanted_images(chosen_settings()).values():
        if not any(images.image_id(client, name) for name in (wanted, stand_in_of(wanted)) if name):
            return f"no images: neither {wanted} nor its stand-in is on this machine; pull it or `invoke build-images`"
    if shutil.which("docker") is None:
        return "no Compose: there is no docker on the PATH"
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0:
        return "no Compose: `docker compose version` does not work; install Compose v2"
    return None


@functools.cache
def embedded_lacks() -> str | None:
    """Return why the servers cannot run as plain processes here, None where they can."""
    try:
        from infra.backends.embedded.binaries import find_postgres, find_redis

        settings = chosen_settings()
        find_postgres(settings.postgres_version)
        find_redis(settings.redis_version)
    except (ImportError, InfraError) as error:
        return f"no programs: {error}"
    return None


def needs_redis_cli() -> None:
    """Skip a test of this machine's own redis-cli where there is none; fail it where a run is to have everything."""
    if shutil.which("redis-cli") is None:
        _go_without("no redis-cli: there is none on the PATH; apt-get install redis-tools")


def needed_psql() -> str:
    """Return the wheel's psql; skip the test where there is none; fail it where a run is to have everything."""
    try:
        from infra.backends.embedded.binaries import find_postgres
        from infra.images.wheel import INSTALLATIONS

        return find_postgres(max(INSTALLATIONS)).program("psql")
    except (ImportError, InfraError) as error:
        _go_without(f"no psql: {error}")


def _go_without(lacking: str) -> NoReturn:
    if docker_is_required():
        pytest.fail(lacking, pytrace=False)
    pytest.skip(lacking)


LACKS = {BackendChoice.DOCKER: docker_lacks, BackendChoice.EMBEDDED: embedded_lacks}
