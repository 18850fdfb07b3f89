"""Whatever an engine holds of a project, a plan leads from there to what is declared, and loses nothing on the way."""

from copy import deepcopy
from datetime import UTC, datetime
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.backends.docker.observe import Container
from infra.backends.docker.ownership import SET_ASIDE_SUFFIX
from infra.backends.docker.plan import Verb, plan_down, plan_up
from infra.declaration.spec import ContainerSpec, StackSpec
from tests.ground.properties.modelled_engine import ANOTHERS, OURS, ModelledEngine, Volume
from tests.ground.unit.test_spec import declared

NETWORKS = ("network-1", "network-2", "network-3")

_CHOICES = {
    "POSTGRES_PORT": ["5432", "5433"],
    "POSTGRES_IMAGE": ["postgres:16", "postgres:16.1"],
    "DATABASE_POOL_BUDGET": ["1", "100"],
    "POSTGRES_PASSWORD": ["S3cret", "another"],
    "REDIS_PASSWORD": ["S3cret", "another"],
}
specs = st.builds(
    lambda spec, durable: spec._replace(durable=durable),
    st.sampled_from([declared(**dict(zip(_CHOICES, chosen, strict=True))) for chosen in product(*_CHOICES.values())]),
    st.sampled_from([True, True, False]),
)


@st.composite
def engines(draw: st.DrawFn) -> tuple[StackSpec, ModelledEngine]:
    """Draw a declaration, and an engine after any history of commands that ended, or were ended anywhere."""
    spec = draw(specs)
    engine = ModelledEngine({container.image: f"image of {container.image}" for container in spec.containers})
    engine.networks = dict.fromkeys(sorted(draw(st.sets(st.sampled_from(NETWORKS)))), (OURS, OURS))
    engine.networks["their-network"] = (ANOTHERS, ANOTHERS)
    for container in spec.containers:
        if container.volume and draw(st.booleans()):
            engine.volumes[container.volume] = Volume(OURS, complete=draw(st.booleans()))
        for suffix in sorted(draw(st.sets(st.sampled_from(["", SET_ASIDE_SUFFIX, "-look", "-1"])))):
            found = draw(_containers(container, container.name + suffix, engine))
            engine.containers[found.name] = (OURS, found)
        theirs = container.name.replace(OURS, ANOTHERS)
        engine.volumes[theirs] = Volume(ANOTHERS, complete=draw(st.booleans()))
        found = draw(_containers(container, theirs, engine))
        engine.containers[theirs] = (ANOTHERS, found._replace(network="their-network", volumes=((theirs, "/data"),)))
    return spec, engine


@st.composite
def _containers(draw: st.DrawFn, spec: ContainerSpec, name: str, engine: ModelledEngine) -> Container:
    running = draw(st.booleans())
    ours = [network for network, (project, _) in engine.networks.items() if project == OURS]
    # None that runs without a network, nor mounts what is not there: an engine keeps from both.
    networks = ours or ["their-network"] if running else ["", "gone", *ours]
    return Container(
        id=f"id of {name}",
        name=name,
        service=spec.service,
        config_hash=draw(st.sampled_from([spec.config_hash, "of another declaration"])),
        image_id=draw(st.sampled_from([engine.image_ids[spec.image], "of another image"])),
        image=spec.image,
        running=running,
        started=datetime(2026, 1, 1, tzinfo=UTC),
        exit_code=draw(st.sampled_from([0, 137])),
        health="none",
        port=spec.port,
        network=draw(st.sampled_from(networks)),
        volumes=((spec.volume, spec.mount_path),) if spec.volume in engine.volumes and spec.volume else (),
    )


def others(engine: ModelledEngine) -> tuple[object, ...]:
    """Return all that is another project's."""
    return (
        {name: found for name, found in engine.containers.items() if found[0] == ANOTHERS},
        {name: volume for name, volume in engine.volumes.items() if volume.project == ANOTHERS},
        {key: network for key, network in engine.networks.items() if network[0] == ANOTHERS},
    )


def bring_up(spec: StackSpec, engine: ModelledEngine, steps: int | None = None) -> None:
    """Carry out the plan of `up`, or its first `steps`; no volume whose data counts is removed, now or in part."""
    observed = engine.observe(spec)
    for operation in plan_up(spec, observed)[:steps]:
        assert operation.cause
        assert operation.verb != Verb.REMOVE_VOLUME or operation.target in observed.uninitialised
        engine.carry_out(spec, operation)


def runs_as_declared(spec: StackSpec, engine: ModelledEngine) -> bool:
    """Return whether each declared server runs, by its name, from its image, and nothing else of the project does."""
    running = {found.name: found for project, found in engine.containers.values() if project == OURS and found.running}
    return {name: (found.config_hash, found.image_id) for name, found in running.items()} == {
        container.name: (container.config_hash, engine.image_ids[container.image]) for container in spec.containers
    }


@given(engines())
def test_up_reaches_what_is_declared(world: tuple[StackSpec, ModelledEngine]) -> None:
    """Whatever the engine holds, the plan can be carried out, leads to the declared stack, and leaves nothing to do."""
    spec, engine = world
    before, theirs = deepcopy(engine.volumes), others(engine)
    uninitialised = engine.observe(spec).uninitialised
    bring_up(spec, engine)
    engine.confirm()
    assert plan_up(spec, engine.observe(spec)) == ()
    assert runs_as_declared(spec, engine)
    assert others(engine) == theirs
    assert set(before) - uninitialised <= set(engine.volumes)


@settings(max_examples=50)
@given(engines(), st.integers(0, 20))
def test_an_interrupted_up_is_made_good_by_the_next(world: tuple[StackSpec, ModelledEngine], steps: int) -> None:
    """An `up` that was killed anywhere on its way loses no data, and the next one leads to the declared stack."""
    spec, engine = world
    theirs = others(engine)
    kept = {name for name, volume in engine.volumes.items() if volume.complete}
    bring_up(spec, engine, steps)
    bring_up(spec, engine)
    engine.confirm()
    assert plan_up(spec, engine.observe(spec)) == ()
    assert runs_as_declared(spec, engine)
    assert others(engine) == theirs
    assert kept <= set(engine.volumes)


@settings(max_examples=50)
@given(engines(), specs)
def test_another_declaration_keeps_the_data(world: tuple[StackSpec, ModelledEngine], changed: StackSpec) -> None:
    """A stack that was proven goes over to any other declaration with the volumes it has."""
    spec, engine = world
    bring_up(spec, engine)
    engine.confirm()
    volumes = set(engine.volumes)
    engine.image_ids |= {container.image: f"image of {container.image}" for container in changed.containers}
    bring_up(changed, engine)
    engine.confirm()
    assert plan_up(changed, engine.observe(changed)) == ()
    assert volumes <= set(engine.volumes)


@settings(max_examples=50)
@given(engines(), st.booleans(), st.integers(0, 20))
def test_down_ends_all_of_it_and_nothing_else(
    world: tuple[StackSpec, ModelledEngine], volumes: bool, steps: int
) -> None:
    """`down`, also one that was killed and given again, stops all; only with volumes are things removed."""
    spec, engine = world
    before = deepcopy(engine)
    for part in (steps, None):
        for operation in plan_down(engine.observe(spec), volumes=volumes)[:part]:
            engine.carry_out(spec, operation)
    assert plan_down(engine.observe(spec), volumes=volumes) == ()
    assert others(engine) == others(before)
    observed = engine.observe(spec)
    assert not any(container.running for container in observed.containers)
    if volumes:
        assert (observed.containers, observed.volumes, observed.networks) == ((), frozenset(), ())
    else:
        assert (engine.volumes, engine.networks) == (before.volumes, before.networks)
        assert set(engine.containers) == set(before.containers)
