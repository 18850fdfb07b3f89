"""The compose file and the SDK read one declaration."""

import json
import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from infra.backends.docker.backend import DockerBackend
from infra.config.endpoints import admin_url
from infra.config.identity import OUR_SERVICES, Project, Service
from infra.config.settings import BackendChoice, Role, Settings, write_env_file
from infra.declaration.compose import compose_environment, render_compose
from infra.declaration.spec import PROJECT_LABEL, SERVICE_LABEL, StackSpec, build_stack
from infra.stack.ports import choose_ports, free_port, spec_ports
from infra.stack.probes import probe_postgres
from infra.stack.waiting import wait_until_ready
from tests.ground.contract.test_doctor_agrees import require_agreement
from tests.kit.checkout import Checkout, copy_project
from tests.kit.stack import say
from tests.kit.world import Engine, data_files, engine, run_in_data

pytestmark = pytest.mark.usefixtures("docker")


def compose(file: Path, spec: StackSpec, *words: str) -> str:
    """Run `docker compose` on a rendered file."""
    return subprocess.run(
        ["docker", "compose", "--file", str(file), *words],
        env=os.environ | compose_environment(spec),
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture
def spec(tmp_path: Path, settings: Settings) -> StackSpec:
    """Declare a durable stack of a project that is nobody's, from the images that are here."""
    declared = build_stack(settings, Project.of(tmp_path, "compared"))
    # Not the standard ports: another stack may have chosen them, and listen on them a moment later.
    declared = declared.on_ports(choose_ports(declared._replace(durable=False), {}, {}, say))
    return DockerBackend(declared.project).resolve(declared, {}, None, say)


@pytest.fixture
def compose_file(spec: StackSpec, tmp_path: Path) -> Path:
    """Write the declaration as a compose file."""
    path = tmp_path / "compose.json"
    path.write_text(render_compose(spec))
    return path


def test_compose_accepts_the_file(spec: StackSpec, compose_file: Path) -> None:
    """`docker compose config` reads the file and finds both services and their volumes."""
    model = json.loads(compose(compose_file, spec, "config", "--format", "json"))
    assert model["name"] == spec.project.id
    assert set(model["services"]) == set(OUR_SERVICES)
    assert {volume["name"] for volume in model["volumes"].values()} == {c.volume for c in spec.containers}


def made_by(client: Engine, project: Project) -> dict[str, dict[str, Any]]:
    """Return what counts of each of a project's containers, as the engine tells it."""
    found = {}
    for listed in client.containers(all=True, filters={"label": f"{PROJECT_LABEL}={project.id}"}):
        made = client.inspect_container(listed["Id"])
        config, host = made["Config"], made["HostConfig"]
        found[config["Labels"][SERVICE_LABEL]] = {
            "name": made["Name"],
            "image": made["Image"],
            "command": config["Cmd"],
            "environment": sorted(config["Env"]),
            "health": {key: value for key, value in config["Healthcheck"].items() if value},
            "labels": {key: value for key, value in config["Labels"].items() if key.startswith("groundwork.")},
            "ports": host["PortBindings"],
            "shm_size": host["ShmSize"],
            "mounts": sorted((mount["Name"], mount["Destination"]) for mount in made["Mounts"]),
            "stop_signal": config["StopSignal"],
            "network": host["NetworkMode"],
        }
    return found


def test_sdk_and_compose_make_the_same_containers(spec: StackSpec, compose_file: Path) -> None:
    """Containers made by the SDK and by compose from one declaration do not differ in anything that is declared."""
    backend = DockerBackend(spec.project)
    with engine() as client:
        try:
            with ExitStack() as undo:
                backend.up(spec, undo)
                undo.pop_all()
                by_sdk = made_by(client, spec.project)
            backend.down(volumes=True)
            compose(compose_file, spec, "create")
            by_compose = made_by(client, spec.project)
        finally:
            backend.down(volumes=True)
    assert set(by_sdk) == set(OUR_SERVICES)
    assert by_compose == by_sdk


@pytest.mark.slow
def test_a_stack_that_compose_made_is_as_declared(settings: Settings, spec: StackSpec, compose_file: Path) -> None:
    """After `docker compose up`, the plan of `invoke up` is empty, and data without our marker is not given up."""
    backend = DockerBackend(spec.project)
    try:
        compose(compose_file, spec, "up", "--detach")
        # No sooner: data that is still being made would be given up.
        wait_until_ready(
            lambda: probe_postgres(admin_url(settings, spec_ports(spec)), spec.project.id, spec.postgres.version),
            lambda: backend.still_alive(Service.POSTGRES),
            spec.start_timeout,
        )
        assert DockerBackend(spec.project).plan(spec) == ()
        compose(compose_file, spec, "stop")
        assert {operation.verb for operation in DockerBackend(spec.project).plan(spec)} == {"start container"}
    finally:
        backend.down(volumes=True)


def state(client: Engine, container: str) -> str:
    """Return how well the engine finds a container."""
    return str(client.inspect_container(container)["State"]["Health"]["Status"])


@pytest.mark.usefixtures("docker_services")
def test_health_checks_pass(test_spec: StackSpec) -> None:
    """Both services of the tests' stack are healthy in the engine's own eyes, once it has looked."""
    ours = {"label": f"{PROJECT_LABEL}={test_spec.project.id}"}
    give_up = int(time.time()) + 60
    with engine() as client:
        looked = client.events(until=give_up, filters=ours | {"event": "health_status"}, decode=True)
        while "starting" in (states := [state(client, found["Id"]) for found in client.containers(filters=ours)]):
            next(looked)
    assert states == ["healthy", "healthy"]


@pytest.mark.slow
def test_a_changed_image_tag_is_drift(spec: StackSpec) -> None:
    """A stack whose declaration names another image plans to replace that container and no volume."""
    backend = DockerBackend(spec.project)
    try:
        with ExitStack() as undo:
            backend.up(spec, undo)
            undo.pop_all()
            changed = spec.with_images({Service.POSTGRES: spec.postgres.image, Service.REDIS: spec.postgres.image})
            assert {o.verb for o in backend.plan(changed)} == {
                "set aside container",
                "create container",
                "start container",
            }
    finally:
        backend.down(volumes=True)


_WITHIN_INITDB = """
chown postgres .
setpriv --reuid=postgres --regid=postgres --init-groups initdb --pgdata=/data >/dev/null &
until [ -s {reached} ] || ! kill -0 $!; do :; done
kill -KILL -1
test -s {reached}
"""


@pytest.mark.slow
@pytest.mark.parametrize("reached", ["PG_VERSION", "global/pg_control", "base/5/PG_VERSION"])
def test_a_first_start_by_compose_that_was_killed_is_refused(tmp_path: Path, reached: str) -> None:
    """`doctor` and `up` refuse what initdb had written when it was killed, and the command they name makes way.

    The kind: a data folder that no server will ever serve from, though it looks like a cluster. Compose starts the
    server on it, since it has a PG_VERSION, and nobody's connection is let in, if the server starts at all.
    """
    checkout = Checkout(copy_project(tmp_path / "shop"), BackendChoice.DOCKER)
    try:
        write_env_file(checkout.path)
        declared = build_stack(checkout.settings, checkout.project).on_ports({s: free_port() for s in OUR_SERVICES})
        spec = DockerBackend(declared.project).resolve(declared, {}, None, say)
        (checkout.path / "compose.json").write_text(render_compose(spec))
        compose(checkout.path / "compose.json", spec, "create")
        script = _WITHIN_INITDB.format(reached=reached)
        run_in_data(checkout.project, checkout.backend, Service.POSTGRES, script)
        left = data_files(checkout.project, checkout.backend)
        reason = require_agreement(checkout, 4)
        assert data_files(checkout.project, checkout.backend) == left
        command = "invoke down --volumes --service postgres"
        assert f"`{command}`" in reason
        checkout.succeed(*command.split()[1:], "--yes")
        checkout.succeed("up")
        assert checkout.query(Role.USER, "SELECT current_setting('cluster_name')") == [(checkout.project.id,)]
    finally:
        checkout.invoke("down", "--volumes", "--yes")
