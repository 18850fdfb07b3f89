"""The stack that the tests run on: once for the whole run, on each backend that is asked for.

It is another project than the checkout's own stack, one for each worker of pytest-xdist, and its lock is held for the
run: a second run waits. Whatever a killed run left behind belongs to nobody any more and is removed before the start.
"""

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import partial

import pytest
from pytest_docker.plugin import Services, get_docker_services

from infra.backends.docker.backend import DockerBackend
from infra.backends.embedded.backend import EmbeddedBackend
from infra.backends.protocol import Backend
from infra.config.endpoints import admin_url, role_url
from infra.config.identity import Project, Service
from infra.config.secret import Secret
from infra.config.settings import CHECKOUT, BackendChoice, Role, Settings, key_of
from infra.config.urls import DatabaseUrl
from infra.declaration.compose import compose_environment, render_compose
from infra.declaration.spec import StackSpec
from infra.stack.declared import declare_stack
from infra.stack.lifecycle import make_backend
from infra.stack.locks import lock_holder, project_lock
from infra.stack.ports import choose_ports, spec_ports
from infra.stack.probes import probe_postgres, probe_product, probe_redis
from schema.admin import roles
from schema.migration.apply.guard import Guard
from schema.migration.apply.session import RunOptions
from schema.migration.apply.upgrade import upgrade
from tests.kit.availability import CHOSEN, LACKS, NO_FILE, needs
from tests.kit.keeping import KEPT

# Taken out of the environment: a run that a test starts is no worker of this one.
WORKER = os.environ.pop("PYTEST_XDIST_WORKER", "")
TEST_PROJECT = Project.of(CHECKOUT, f"test{WORKER}")


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Where the tests' stack answers."""

    backend: BackendChoice
    project: Project
    settings: Settings
    ports: dict[Service, int]

    @property
    def admin(self) -> DatabaseUrl:
        """The superuser's URL."""
        return admin_url(self.settings, self.ports)

    def url(self, role: Role) -> DatabaseUrl:
        """Return the URL of a role."""
        return role_url(self.settings, self.ports, role)


def say(line: str) -> None:
    """Report progress where a failing test shows it."""
    print(line, file=sys.stderr)  # noqa: T201 - pytest captures it


def make_settings(**environ: str) -> Settings:
    """Return settings with fresh passwords that read neither `.env` nor, but for the servers, the environment."""
    generated = {key_of(f): secrets.token_urlsafe(12) for f in fields(Settings) if f.metadata["generated"]}
    return Settings.load(NO_FILE, CHOSEN | generated | environ)


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Give the settings of the tests' stack."""
    return make_settings(APP_ENV="test")


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> BackendChoice:
    """Give each backend in turn."""
    choice: BackendChoice = request.param
    needs(choice, request.config)
    return choice


@pytest.fixture(scope="session")
def docker(request: pytest.FixtureRequest) -> None:
    """Keep a test to machines with a container engine."""
    needs(BackendChoice.DOCKER, request.config)


@pytest.fixture
def stack(backend: BackendChoice, request: pytest.FixtureRequest) -> RunningStack:
    """Give the tests' stack on the backend in turn, migrated."""
    running: RunningStack = request.getfixturevalue(f"{backend}_stack")
    return running


@pytest.fixture(scope="session")
def test_project() -> Iterator[Project]:
    """Hold the lock of the tests' project for the run."""
    with project_lock(TEST_PROJECT, say):
        yield TEST_PROJECT


def remove_left_over() -> None:
    """Remove what killed runs left behind, whatever workers they had; a run that lives holds the locks of its own."""
    for worker in ("", *(f"gw{number}" for number in range(os.cpu_count() or 1))):
        project = Project.of(CHECKOUT, f"test{worker}")
        if lock_holder(project) is None:
            with project_lock(project, say):
                for choice in BackendChoice.DOCKER, BackendChoice.EMBEDDED:
                    if LACKS[choice]() is None:
                        make_backend(choice, project, durable=False).down(volumes=True)


@pytest.fixture(scope="session")
def test_spec(settings: Settings, test_project: Project) -> StackSpec:
    """Give the declaration of the tests' stack: in memory, never synced, on ports that are free."""
    return declare_stack(settings, test_project, durable=False, values={}, or_else=Secret(secrets.token_urlsafe(12)))


@pytest.fixture(scope="session")
def docker_compose_file(docker: None, test_spec: StackSpec, tmp_path_factory: pytest.TempPathFactory) -> str:  # noqa: ARG001 - asks for the engine first
    """Render the declaration, with the images that this machine has."""
    path = tmp_path_factory.mktemp("compose") / "compose.json"
    resolved = DockerBackend(test_spec.project).resolve(test_spec, {}, None, say)
    path.write_text(render_compose(resolved), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def docker_compose_project_name(test_project: Project) -> str:
    """Name the compose project as the tests' project, so that the next run finds what a killed one left."""
    return test_project.id


@pytest.fixture(scope="session")
def docker_setup() -> str:
    """Start the services, and leave it to the proof of `_ready` when they serve.

    To wait for health checks, they would have to be so close to each other that they took a quarter of the run: each
    is a process in a container.
    """
    return "up --detach"


@pytest.fixture(scope="session")
def docker_services(
    docker_compose_command: str,
    docker_compose_file: str,
    docker_compose_project_name: str,
    docker_setup: str,
    test_spec: StackSpec,
) -> Iterator[Services]:
    """Start the services; take them down with their anonymous volumes, also after a start that failed."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as undo:
        for variable, value in compose_environment(test_spec).items():
            patch.setenv(variable, value)
        DockerBackend(test_spec.project).down(volumes=True)
        # Not compose's own `down`: it goes by labels alone, and a committed image hands those on.
        undo.callback(lambda: DockerBackend(test_spec.project).down(volumes=True))
        yield undo.enter_context(
            get_docker_services(
                docker_compose_command,
                docker_compose_file,
                docker_compose_project_name,
                docker_setup,
                docker_cleanup=[],
            )
        )
        _leave_what_is_kept(undo)


@pytest.fixture(scope="session")
def docker_stack(docker_services: Services, settings: Settings, test_spec: StackSpec) -> RunningStack:
    """Give the stack that compose runs."""
    docker = DockerBackend(test_spec.project)
    started = docker.resolve(test_spec, {}, None, say)
    ports = {
        name: docker_services.port_for(declared.service, inside)
        for declared in started.containers
        for name, inside in declared.port_names.items()
    }
    return _ready(RunningStack(docker.choice, started.project, settings, ports), docker)


@pytest.fixture(scope="session")
def embedded_stack(settings: Settings, test_spec: StackSpec) -> Iterator[RunningStack]:
    """Give the stack as plain processes."""
    embedded = EmbeddedBackend(test_spec.project, durable=False)
    embedded.down(volumes=True)
    spec = embedded.resolve(test_spec, {}, None, say)
    spec = spec.on_ports(choose_ports(spec, {}, {}, say))
    with ExitStack() as undo:
        undo.callback(embedded.down, volumes=True)
        embedded.up(spec, undo)
        ports = spec_ports(spec)
        yield _ready(RunningStack(embedded.choice, spec.project, settings, ports), embedded)
        _leave_what_is_kept(undo)


def _leave_what_is_kept(undo: ExitStack) -> None:
    """Leave the stack to the next run where it holds the database of a test that failed."""
    if KEPT:
        undo.pop_all()


def _probe_product(backend: Backend, service: Service, port: int) -> None:
    probe_product(backend.health(service), service, port)


def _ready(running: RunningStack, backend: Backend) -> RunningStack:
    """Wait for the servers, make sure that they are the tests' own, then prepare and migrate the database."""
    from infra.stack.waiting import wait_until_ready

    probes: dict[Service, Callable[[], None]] = {
        Service.POSTGRES: lambda: probe_postgres(running.admin, running.project.id, running.settings.postgres_version),
        Service.REDIS: lambda: probe_redis(
            running.ports[Service.REDIS], running.settings.redis_password, running.settings.redis_version
        ),
    }
    for service in running.ports:
        if service not in probes and ":" not in service:
            probes[service] = partial(_probe_product, backend, service, running.ports[service])
    for service, probe in probes.items():
        wait_until_ready(probe, partial(backend.still_alive, service), running.settings.stack_start_timeout)
    roles.ensure(running.admin, running.settings)
    upgrade(running.url(Role.OWNER), running.settings, run_options=RunOptions(guard=Guard(running.project.id)))
    return running
