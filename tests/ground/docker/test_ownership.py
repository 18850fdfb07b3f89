"""What a user did with the engine's own commands stays as it was left, on a real engine.

The kind: the stack's names and labels are found on things that `up` did not make. Names are free to take; labels go
along with committed images and copied volumes; and what `up` made is renamed, paused, disconnected and used by others.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from docker.errors import APIError, NotFound
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, run_state_machine_as_test

from infra.backends.data_directory import MARKER
from infra.backends.docker.backend import DockerBackend
from infra.backends.docker.ownership import MARKED_LABEL, SET_ASIDE_SUFFIX
from infra.config.errors import EnvironmentFault, StackError
from infra.config.identity import OUR_SERVICES, Project, Service
from infra.config.settings import Settings
from infra.declaration.spec import PROJECT_LABEL, StackSpec, build_stack
from infra.stack.ports import choose_ports
from tests.ground.docker.test_by_hand import bring_up
from tests.ground.properties.ownership_machine import OwnershipMachine, founds
from tests.kit.engine_user import CONTENTS, Engine, EngineUser, a_cluster
from tests.kit.errors import about
from tests.kit.stack import make_settings, say
from tests.kit.world import engine

pytestmark = pytest.mark.usefixtures("docker")


def declare(project: Project, made: Settings) -> StackSpec:
    """Declare a durable stack of a project that is nobody's, from the images that are here, on free ports."""
    declared = build_stack(made, project)
    declared = declared.on_ports(choose_ports(declared._replace(durable=False), {}, {}, say))
    return DockerBackend(project).resolve(declared, {}, None, say)


def remove_all(client: Engine, project: Project, images: set[str]) -> None:
    """Remove everything that has the project in its name, whoever made it."""
    named = {"name": project.id}
    for found in client.containers(all=True, filters=named):
        client.remove_container(found["Id"], v=True, force=True)
    for found in client.volumes(filters=named)["Volumes"] or ():
        client.remove_volume(found["Name"])
    for found in client.networks(names=[project.id]):
        client.remove_network(found["Id"])
    for image in images:
        with suppress(NotFound):
            client.remove_image(image, force=True)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[EngineUser]:
    """Give a user of the engine beside a stack that is not up yet; all of both goes afterwards."""
    with engine() as client:
        made = EngineUser(client, declare(Project.of(tmp_path, "owned"), make_settings()))
        try:
            yield made
        finally:
            remove_all(client, made.spec.project, made.images)


def name(user: EngineUser, service: Service) -> str:
    """Return the name of a service's container, which its volume has too."""
    return user.declared[service].name


def is_running(user: EngineUser, container: str) -> bool:
    """Return whether a container runs and is not paused."""
    state = user.engine.inspect_container(container)["State"]
    return bool(state["Running"]) and not state["Paused"]


@pytest.mark.parametrize("service", OUR_SERVICES)
def test_a_failed_up_leaves_what_it_did_not_make(user: EngineUser, service: Service) -> None:
    """An `up` that cannot have a name leaves volumes of the other one, and the container, as they were found."""
    other = next(each for each in OUR_SERVICES if each is not service)
    user.make_volume(name(user, other), {}, CONTENTS["an append-only file" if other == Service.REDIS else "a cluster"])
    user.make_container(name(user, service), {}, None, start=True)
    with pytest.raises(StackError, match=f"docker rename {name(user, service)}"):
        bring_up(user.spec)
    user.require_all_kept()
    assert not user.engine.networks(names=[user.spec.project.id])


@pytest.mark.slow
def test_a_volume_that_appears_meanwhile_is_not_taken_back(user: EngineUser, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume that a user makes after `up` has looked is neither used nor removed when that call is taken back."""
    backend = DockerBackend(user.spec.project)
    backend.plan(user.spec)
    user.make_volume(name(user, Service.REDIS), {}, CONTENTS["notes"])
    monkeypatch.setattr("tests.ground.docker.test_by_hand.DockerBackend", lambda _: backend)
    with pytest.raises(StackError, check=about(in_the_way=(name(user, Service.REDIS),))):
        bring_up(user.spec)
    user.require_all_kept()


@pytest.mark.parametrize(
    ("service", "content"),
    [
        (Service.POSTGRES, "notes"),
        (Service.POSTGRES, "half a cluster"),
        (Service.POSTGRES, "a cluster of another major"),
        (Service.REDIS, "notes"),
        (Service.REDIS, "a snapshot"),
    ],
)
@pytest.mark.parametrize("label", ["none", pytest.param("the service's", marks=pytest.mark.slow)])
def test_nothing_is_made_in_a_volume_that_holds_something(
    user: EngineUser, service: Service, content: str, label: str
) -> None:
    """A volume of the stack's name that holds no data of this version is refused, and nothing is made or changed."""
    user.make_volume(name(user, service), user.labels(label, service), CONTENTS[content])
    with pytest.raises(StackError, match=name(user, service)):
        bring_up(user.spec)
    user.require_all_kept()
    assert not user.engine.containers(all=True, filters={"name": user.spec.project.id})


@pytest.mark.slow
def test_an_empty_volume_is_used_and_stays(user: EngineUser) -> None:
    """A volume that a user made empty is filled, and `down --volumes` keeps it and says how to remove it."""
    user.make_volume(name(user, Service.POSTGRES), {}, {})
    bring_up(user.spec)
    assert set(DockerBackend(user.spec.project).servers()) == set(OUR_SERVICES)
    backend = DockerBackend(user.spec.project)
    backend.down(volumes=True)
    assert backend.removal_commands() == (f"docker volume rm {name(user, Service.POSTGRES)}",)
    user.require_all_kept()


@pytest.mark.parametrize("marked", [False, True], ids=["by hand", "by up"])
def test_a_restored_cluster_is_not_replaced(user: EngineUser, marked: bool) -> None:
    """PostgreSQL's data that was restored into a volume is started on and nothing is unpacked over it.

    Also where `up` made the volume, was ended before it was complete, and left its own cluster there.
    """
    volume = name(user, Service.POSTGRES)
    labels = user.spec.labels | {MARKED_LABEL: "of an up that was killed"} if marked else {}
    left = {"groundwork.made": b"00", "PG_VERSION": b"16\n"} if marked else {}
    user.engine.create_volume(volume, labels=labels)
    user.put(volume, left)
    user.put(volume, a_cluster("restored"))
    steps = {step.verb for step in DockerBackend(user.spec.project).plan(user.spec)}
    assert not steps & {"remove volume", "initialise data"}
    user.require_all_kept()


@pytest.mark.slow
def test_data_that_up_never_finished_is_made_again(user: EngineUser) -> None:
    """The cluster that `up` itself put on a volume of its own goes where it was never finished, and only there."""
    bring_up(user.spec)
    backend = DockerBackend(user.spec.project)
    backend.down(volumes=False)
    assert "remove volume" in {step.verb for step in backend.plan(user.spec)}
    user.put(name(user, Service.POSTGRES), {MARKER: b""})
    assert "remove volume" not in {step.verb for step in DockerBackend(user.spec.project).plan(user.spec)}


@pytest.mark.parametrize(
    "suffix", ["-snap", *(pytest.param(s, marks=pytest.mark.slow) for s in (SET_ASIDE_SUFFIX, ""))]
)
def test_a_container_of_a_committed_image_is_the_users(user: EngineUser, suffix: str) -> None:
    """It has the labels of the stack's container and is neither shown, stopped nor removed, under whichever name."""
    bring_up(user.spec)
    redis = name(user, Service.REDIS)
    user.commit(redis, redis + suffix, start=True, instead=not suffix)
    if suffix:
        bring_up(user.spec)
    else:
        with pytest.raises(StackError, match=redis):
            bring_up(user.spec)
        assert Service.REDIS not in DockerBackend(user.spec.project).servers()
    user.require_all_kept()
    DockerBackend(user.spec.project).down(volumes=True)
    user.require_all_kept()


@pytest.mark.slow
def test_labels_alone_make_nothing_the_stacks(user: EngineUser) -> None:
    """Containers and volumes with the project's label and other names are no concern of any command."""
    labels = {PROJECT_LABEL: user.spec.project.id}
    user.make_container(f"{user.spec.project.id}-1", labels, None, start=True)
    user.make_volume(f"{user.spec.project.id}-backup", labels, CONTENTS["a cluster"])
    bring_up(user.spec)
    backend = DockerBackend(user.spec.project)
    assert set(backend.servers()) == set(OUR_SERVICES)
    backend.down(volumes=True)
    assert backend.removal_commands() == ()
    user.require_all_kept()


def test_a_renamed_server_is_not_ended_and_its_data_not_shared(user: EngineUser) -> None:
    """While a server that a user renamed runs, no second one is started on its volume, nor is that removed."""
    bring_up(user.spec)
    postgres = name(user, Service.POSTGRES)
    user.rename(user.engine.inspect_container(postgres)["Id"], f"{postgres}-mine")
    with pytest.raises(StackError, match=f"docker stop {postgres}-mine"):
        bring_up(user.spec)
    with pytest.raises(StackError, match=f"docker rm --force {postgres}-mine"):
        DockerBackend(user.spec.project).refuse_used_data()
    user.require_all_kept()
    assert is_running(user, f"{postgres}-mine")


@pytest.mark.slow
def test_a_paused_server_does_not_serve_until_up(user: EngineUser) -> None:
    """A server that a user paused is not one that serves, on its port; `up` lets it go on, and `down` stops it."""
    bring_up(user.spec)
    redis = name(user, Service.REDIS)
    before = user.engine.inspect_container(redis)["Id"]
    user.engine.pause(redis)
    found = DockerBackend(user.spec.project).servers()[Service.REDIS]
    assert (found.serves, found.port) == (False, user.spec.redis.port)
    bring_up(user.spec)
    assert is_running(user, before)
    user.engine.pause(redis)
    DockerBackend(user.spec.project).down(volumes=False)
    assert not user.engine.inspect_container(before)["State"]["Running"]


@pytest.mark.slow
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_disconnected_server_is_connected_again(user: EngineUser, running: bool) -> None:
    """A server that a user took out of the network, which so has no port, has its declared port after `up`."""
    bring_up(user.spec)
    redis = name(user, Service.REDIS)
    if not running:
        user.engine.stop(redis)
    [network] = user.engine.networks(names=[user.spec.project.id])
    user.engine.disconnect_container_from_network(redis, network["Id"])
    bring_up(user.spec)
    published = user.engine.inspect_container(redis)["NetworkSettings"]["Ports"]
    assert [port["HostPort"] for port in published["6379/tcp"]] == [str(user.spec.redis.port)]


def test_a_network_of_the_name_is_refused(user: EngineUser) -> None:
    """A network of the stack's name that a user made is neither used nor doubled."""
    user.make_network(user.spec.project.id)
    with pytest.raises(StackError, match="docker network rm"):
        bring_up(user.spec)
    assert {network["Id"] for network in user.engine.networks(names=[user.spec.project.id])} == user.networks


@pytest.mark.slow
def test_down_leaves_a_network_that_is_used(user: EngineUser) -> None:
    """A user's container in the stack's network stays connected; `down` with volumes removes all else."""
    bring_up(user.spec)
    [network] = user.engine.networks(names=[user.spec.project.id])
    user.make_container("guest-of-" + user.spec.project.id, {}, None, start=True, network=user.spec.project.id)
    backend = DockerBackend(user.spec.project)
    backend.down(volumes=True)
    assert backend.removal_commands() == (f"docker network rm {network['Id']}",)
    user.require_all_kept()


@pytest.mark.slow
def test_an_engine_that_refuses_is_no_traceback(user: EngineUser) -> None:
    """A volume that a user's stopped container mounts cannot be removed, and that is said in a sentence."""
    bring_up(user.spec)
    user.make_container("reader-of-" + user.spec.project.id, {}, name(user, Service.REDIS))
    with pytest.raises(EnvironmentFault, match="volume is in use"):
        DockerBackend(user.spec.project).down(volumes=True)
    user.require_all_kept()
    assert user.engine.inspect_volume(name(user, Service.REDIS))


class OnThisEngine(OwnershipMachine):
    """The machine on this machine's engine. Servers end by themselves on data that is only said to be a cluster."""

    modelled = False
    project_of: Project

    @initialize(found=founds)
    def start(self, found: str | None) -> None:
        """Begin with an engine that may hold volumes of the stack's names."""
        self.connection = engine()
        self.begin(self.connection.__enter__(), declare(self.project_of, make_settings()), found)

    def teardown(self) -> None:
        """Remove all that the run made."""
        super().teardown()
        with suppress(APIError):
            remove_all(self.engine, self.project_of, self.user.images)
        self.connection.__exit__(None, None, None)


@pytest.mark.slow
def test_whatever_a_user_does_stays(tmp_path: Path) -> None:
    """Any order of commands and of a user's own leaves what is the user's as it was, on this engine."""
    machine = type("OfThisRun", (OnThisEngine,), {"project_of": Project.of(tmp_path, "owned")})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=8, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
