"""A stack whose things were changed by hand, with the engine's own commands."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.backends.data_directory import MARKER, Data
from infra.backends.docker.backend import DockerBackend
from infra.backends.docker.ownership import MARKED_LABEL
from infra.config.identity import OUR_SERVICES, Project
from infra.config.settings import BackendChoice, Role
from infra.declaration.spec import PROJECT_LABEL, StackSpec, build_stack
from infra.stack.ports import free_port
from tests.kit.checkout import Checkout, copy_project
from tests.kit.stack import make_settings, say
from tests.kit.world import engine, things_of, write_data_file

pytestmark = pytest.mark.usefixtures("docker")


@pytest.fixture
def spec(tmp_path: Path) -> Iterator[StackSpec]:
    """Declare a durable stack of a project that is nobody's, from the images that are here; remove it afterwards."""
    declared = build_stack(make_settings(), Project.of(tmp_path, "by-hand"))
    declared = declared.on_ports({service: free_port() for service in OUR_SERVICES})
    yield DockerBackend(declared.project).resolve(declared, {}, None, say)
    DockerBackend(declared.project).down(volumes=True)


def bring_up(spec: StackSpec) -> None:
    """Bring the containers to what is declared, as one `up` would."""
    with ExitStack() as undo:
        DockerBackend(spec.project).up(spec, undo)
        undo.pop_all()


@pytest.mark.slow
def test_a_network_that_was_pruned_is_made_anew(tmp_path: Path) -> None:
    """After `down` and `docker network prune`, which takes networks that nothing runs in, `up` serves the same data."""
    checkout = Checkout(copy_project(tmp_path / "shop"), BackendChoice.DOCKER)
    try:
        checkout.succeed("up")
        checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
        checkout.succeed("down")
        with engine() as client:
            for network in client.networks(filters={"label": f"{PROJECT_LABEL}={checkout.project.id}"}):
                client.remove_network(network["Id"])
        checkout.succeed("up")
        assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]
    finally:
        checkout.invoke("down", "--volumes", "--yes")


@pytest.mark.slow
def test_a_second_network_of_the_name_goes(spec: StackSpec) -> None:
    """Of two networks of one name, which an engine allows and starts nothing in, `up` keeps one and starts all."""
    with engine() as client:
        for _ in range(2):
            client.create_network(spec.project.id, labels=spec.labels, check_duplicate=False)
    bring_up(spec)
    assert set(DockerBackend(spec.project).servers()) == set(OUR_SERVICES)
    with engine() as client:
        assert len(client.networks(filters={"label": f"{PROJECT_LABEL}={spec.project.id}"})) == 1


@pytest.mark.slow
def test_data_is_read_where_it_lies(spec: StackSpec) -> None:
    """A container that has the volume at another path says nothing of the data; it is read through one that has it."""
    postgres = spec.containers[0]
    with engine() as client:
        client.create_volume(postgres.volume, labels=spec.labels | {MARKED_LABEL: "of this volume"})
        for name, text in (("PG_VERSION", "16"), (MARKER, "")):
            write_data_file(spec.project, BackendChoice.DOCKER, name, text)
        client.create_container(
            postgres.image,
            name=postgres.name,
            labels=spec.labels | postgres.labels,
            host_config=client.create_host_config(binds=[f"{postgres.volume}:/elsewhere"]),
        )
    backend = DockerBackend(spec.project)
    assert backend.data(spec) == Data(
        f"volume {postgres.volume}", "16", complete=True, remove="invoke down --volumes --service postgres"
    )
    assert "remove volume" not in {step.verb for step in backend.plan(spec)}
    assert f"/{postgres.name}-look" not in things_of(spec.project, BackendChoice.DOCKER)
