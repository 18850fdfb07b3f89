"""The Docker plan, as data."""

from datetime import UTC, datetime

from infra.backends.docker.observe import Container, Observed
from infra.backends.docker.plan import Verb, plan_down, plan_up
from infra.backends.protocol import Operation
from infra.declaration.spec import ContainerSpec, StackSpec
from tests.ground.unit.test_spec import declared

POSTGRES, REDIS = "shop-12345678-postgres", "shop-12345678-redis"


def container_of(spec: ContainerSpec) -> Container:
    """Make the running container that `spec` declares."""
    return Container(
        id=f"id-{spec.service}",
        name=spec.name,
        service=spec.service,
        config_hash=spec.config_hash,
        image_id=f"image-{spec.service}",
        image=spec.image,
        running=True,
        started=datetime(2026, 1, 1, tzinfo=UTC),
        exit_code=0,
        health="healthy",
        port=spec.port,
    )


def as_declared(spec: StackSpec) -> Observed:
    """Make what the engine holds when all is as declared."""
    return Observed(
        containers=tuple(container_of(container) for container in spec.containers),
        volumes=frozenset({POSTGRES, REDIS}),
        volume_ids=((POSTGRES, "one"), (REDIS, "other")),
        networks=("network-id",),
        image_ids=tuple((container.image, f"image-{container.service}") for container in spec.containers),
        project_id=spec.project.id,
    )


def steps(operations: tuple[Operation, ...]) -> list[tuple[str, str]]:
    """Return what is done to what."""
    return [(operation.verb, operation.target) for operation in operations]


def test_nothing_is_made_into_everything() -> None:
    """On an empty engine the plan makes network, volumes and containers, each before what needs it."""
    assert steps(plan_up(declared(), Observed())) == [
        (Verb.CREATE_NETWORK, "shop-12345678"),
        (Verb.CREATE_VOLUME, POSTGRES),
        (Verb.CREATE_CONTAINER, POSTGRES),
        (Verb.INITIALISE, POSTGRES),
        (Verb.START_CONTAINER, POSTGRES),
        (Verb.CREATE_VOLUME, REDIS),
        (Verb.CREATE_CONTAINER, REDIS),
        (Verb.START_CONTAINER, REDIS),
    ]


def test_an_unchanged_stack_needs_nothing() -> None:
    """Where all is as declared the plan is empty."""
    assert plan_up(declared(), as_declared(declared())) == ()


def test_a_stopped_container_is_started() -> None:
    """A container that is as declared and stopped is started and not made again."""
    observed = as_declared(declared())
    stopped = tuple(c._replace(running=c.service != "redis", exit_code=137) for c in observed.containers)
    assert plan_up(declared(), observed._replace(containers=stopped)) == (
        Operation(Verb.START_CONTAINER, REDIS, "it is stopped (exit code 137)"),
    )


def test_a_changed_declaration_keeps_the_volume() -> None:
    """A changed container is set aside and replaced; no volume is touched."""
    operations = plan_up(declared(POSTGRES_PORT="5433"), as_declared(declared()))
    assert steps(operations) == [
        (Verb.SET_ASIDE, "id-postgres"),
        (Verb.CREATE_CONTAINER, POSTGRES),
        (Verb.START_CONTAINER, POSTGRES),
    ]


def test_another_image_under_the_same_name_is_drift() -> None:
    """A tag that means another image now asks for another container."""
    observed = as_declared(declared())
    operations = plan_up(declared(), observed._replace(image_ids=(("redis:7-alpine", "image-newer"),)))
    assert [operation.cause for operation in operations][:1] == ["redis:7-alpine is another image now"]


def test_unfinished_data_is_removed_with_its_container() -> None:
    """Data whose first start was never finished goes, and only that."""
    observed = as_declared(declared())
    stopped = tuple(c._replace(running=False) for c in observed.containers)
    operations = plan_up(declared(), observed._replace(containers=stopped, uninitialised=frozenset({POSTGRES})))
    assert steps(operations) == [
        (Verb.REMOVE_CONTAINER, "id-postgres"),
        (Verb.REMOVE_VOLUME, POSTGRES),
        (Verb.CREATE_VOLUME, POSTGRES),
        (Verb.CREATE_CONTAINER, POSTGRES),
        (Verb.INITIALISE, POSTGRES),
        (Verb.START_CONTAINER, POSTGRES),
        (Verb.START_CONTAINER, REDIS),
    ]


def test_what_an_interrupted_command_left_is_removed() -> None:
    """A container of the project under another name than the declared one goes."""
    observed = as_declared(declared())
    left = observed.containers[0]._replace(id="left", name=f"{POSTGRES}-set-aside", running=False)
    operations = plan_up(declared(), observed._replace(containers=(*observed.containers, left)))
    assert steps(operations) == [(Verb.REMOVE_CONTAINER, "left")]


def test_a_container_whose_network_was_removed_is_made_anew() -> None:
    """An engine starts a container in the network that it was started in before, or not at all."""
    observed = as_declared(declared())
    stopped = tuple(c._replace(running=False, network="gone") for c in observed.containers)
    operations = plan_up(declared(), observed._replace(containers=stopped, networks=()))
    assert steps(operations) == [
        (Verb.SET_ASIDE, "id-postgres"),
        (Verb.SET_ASIDE, "id-redis"),
        (Verb.CREATE_NETWORK, "shop-12345678"),
        (Verb.CREATE_CONTAINER, POSTGRES),
        (Verb.START_CONTAINER, POSTGRES),
        (Verb.CREATE_CONTAINER, REDIS),
        (Verb.START_CONTAINER, REDIS),
    ]
    assert operations[0].cause == "its network was removed"


def test_of_several_networks_the_one_in_use_is_kept() -> None:
    """Of two networks of one name, in which nothing can be started, the one goes that no server runs in."""
    observed = as_declared(declared())
    running = tuple(c._replace(network="in-use") for c in observed.containers)
    operations = plan_up(declared(), observed._replace(containers=running, networks=("surplus", "in-use")))
    assert steps(operations) == [(Verb.REMOVE_NETWORK, "surplus")]


def test_down_keeps_the_volumes_unless_told() -> None:
    """`down` stops what runs; everything goes only where the data is given up."""
    observed = as_declared(declared())
    assert steps(plan_down(observed, volumes=False)) == [
        (Verb.STOP_CONTAINER, "id-postgres"),
        (Verb.STOP_CONTAINER, "id-redis"),
    ]
    assert steps(plan_down(observed, volumes=True))[-2:] == [
        (Verb.REMOVE_VOLUME, POSTGRES),
        (Verb.REMOVE_VOLUME, REDIS),
    ]
