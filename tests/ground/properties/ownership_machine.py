"""Commands of the stack and a user's own, in any order, on an engine: what is the user's stays as he left it."""

from contextlib import ExitStack, suppress
from typing import Any

import pytest
from docker.errors import APIError
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from infra.backends.data_directory import APPEND_ONLY, CONTROL_FILE, MARKER
from infra.backends.docker import apply as apply_module
from infra.backends.docker import backend as backend_module
from infra.backends.docker import template as template_module
from infra.backends.docker import volume as volume_module
from infra.backends.docker.backend import DockerBackend
from infra.backends.docker.ownership import MARKED_LABEL, SET_ASIDE_SUFFIX
from infra.config.errors import InfraError, StackError
from infra.config.identity import OUR_SERVICES, Service
from infra.declaration.spec import PROJECT_LABEL, PostgresSpec, StackSpec
from tests.ground.properties.doomed_engine import Doomed, InTurn, Killed, a_template
from tests.kit.engine_user import CONTENTS, LABELS, Engine, EngineUser, packed

founds = st.none() | st.sampled_from(sorted(CONTENTS))
services = st.sampled_from(OUR_SERVICES)
commands = st.sampled_from(["up", "down", "none"])


class OwnershipMachine(RuleBasedStateMachine):
    """`up`, ended anywhere, and `down`, between what a user does; a subclass says on which engine, and how to end."""

    engine: Engine
    spec: StackSpec
    modelled = True

    def begin(self, engine: Engine, spec: StackSpec, found: str | None) -> None:
        """Begin on an engine that holds nothing of the stack's names, but for volumes if there is something `found`."""
        self.engine, self.spec, self.known, self.doomed = engine, spec, "", Doomed(engine)
        self.user = EngineUser(engine, spec)
        self.project = spec.project.id
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(apply_module, "ThreadPoolExecutor", InTurn)
        self._patch.setattr(backend_module, "connect", lambda _: self.doomed)
        self._patch.setattr(template_module, "open_template", a_template)
        self._patch.setattr(volume_module, "complete", self._complete)
        if found is not None:
            for service in OUR_SERVICES:
                self.user.make_volume(f"{self.project}-{service}", {}, CONTENTS[found])

    def teardown(self) -> None:
        """Give the backend its own ways back."""
        self._patch.undo()

    def _complete(self, _: PostgresSpec, directory: str) -> None:
        try:
            self.doomed.put_archive(f"{self.project}-postgres", directory, packed({MARKER: b""}))
        except APIError as error:
            raise StackError(str(error)) from None

    # What the stack's commands do.

    @rule()
    def up(self) -> None:
        """Bring the stack up; refuse, having changed nothing, or bring up what is declared."""
        used = self._used_by_the_user()
        with suppress(InfraError):
            self._up()
            if self.modelled:
                self._require_up()
        assert not used & {found["Mounts"][0]["Name"] for found in self._servers() if found["State"]["Running"]}
        self.user.require_all_kept()

    @rule(number=st.integers(0, 11))
    def failing_up(self, number: int) -> None:
        """Bring the stack up on an engine that refuses one step: what this call made is gone again."""
        before = self._ids()
        self.doomed.doom(number, killed=False)
        try:
            self._up()
        except InfraError:
            # What the engine refused to remove is still there.
            assert self.doomed.failed.startswith("remove") or self._ids() <= before
        finally:
            self.doomed.spare()
        self.user.require_all_kept()

    @rule(number=st.integers(0, 11))
    def killed_up(self, number: int) -> None:
        """Kill an `up` at one of its steps."""
        self.doomed.doom(number, killed=True)
        with suppress(InfraError, Killed):
            self._up()
        self.doomed.spare()
        self.user.require_all_kept()

    @rule(volumes=st.booleans())
    def down(self, volumes: bool) -> None:
        """Take the stack down; with its volumes, whatever `up` made is gone or the command has refused."""
        backend = DockerBackend(self.spec.project)
        with suppress(InfraError):
            if volumes:
                backend.refuse_used_data()
                self._forget_made_volumes()
            backend.down(volumes=volumes)
            if volumes:
                self.known = ""
                assert {command for command in backend.removal_commands() if " volume " in command} == {
                    f"docker volume rm {name}" for name in self._own_volumes()
                }
        self.user.require_all_kept()

    def _run(self, command: str) -> None:
        if command == "up":
            self.up()
        elif command == "down":
            self.down(volumes=False)

    def _up(self) -> None:
        backend = DockerBackend(self.spec.project, self.known)
        with ExitStack() as undo:
            backend.up(self.spec, undo)
            self.known = backend.confirm(self.spec)
            undo.pop_all()

    def _require_up(self) -> None:
        """Claim, of the engine itself, that the declared servers serve, and on data that is a server's or new."""
        assert DockerBackend(self.spec.project, self.known).plan(self.spec) == ()
        servers = {found["Name"]: found for found in self._servers()}
        assert set(servers) == {f"/{container.name}" for container in self.spec.containers}
        for found in servers.values():
            assert (found["State"]["Running"], found["State"]["Paused"]) == (True, False)
            assert self.project in found["NetworkSettings"]["Networks"]
        for service, needed in (Service.POSTGRES, CONTROL_FILE), (Service.REDIS, APPEND_ONLY[0]):
            files = self.user.files.get(f"{self.project}-{service}", {})
            assert not files or needed in files
            assert service == Service.REDIS or files.get("PG_VERSION", b"16\n") == b"16\n"

    def _servers(self) -> list[dict[str, Any]]:
        """Return the stack's servers as the engine describes them."""
        ids = (container for service in OUR_SERVICES for container in self._of_the_stack(service))
        return [self.engine.inspect_container(container) for container in ids]

    def _used_by_the_user(self) -> set[str]:
        """Return the stack's volumes that a container of the user's runs with, and no server of the stack does."""
        served = {found["Mounts"][0]["Name"] for found in self._servers() if found["State"]["Running"]}
        return {
            volume
            for volume in set(self._own_volumes()) - served
            for found in self.engine.containers(filters={"volume": [volume]})
            if found["Id"] in self.user.containers
        }

    def _forget_made_volumes(self) -> None:
        """Take the user at his word: `down --volumes` gives up what he has put on volumes that `up` made."""
        for name in self._own_volumes():
            found = self.engine.inspect_volume(name)["Labels"] or {}
            if MARKED_LABEL in found and found.get(PROJECT_LABEL) == self.project:
                self.user.forget_volume(name)

    def _own_volumes(self) -> list[str]:
        names = {f"{self.project}-{service}" for service in OUR_SERVICES}
        listed = self.engine.volumes(filters={"name": self.project})["Volumes"] or ()
        return sorted(found["Name"] for found in listed if found["Name"] in names)

    def _ids(self) -> set[str]:
        named = {"name": f"{self.project}-"}
        return {
            *(found["Id"] for found in self.engine.containers(all=True, filters=named)),
            *(found["Id"] for found in self.engine.networks(names=[self.project])),
            *(f"{v['Name']} {v['Labels']}" for v in self.engine.volumes(filters=named)["Volumes"] or ()),
        }

    # What the user does.

    @rule(
        service=services,
        suffix=st.sampled_from(["", "-copy"]),
        kind=st.sampled_from([*LABELS, "copied"]),
        files=st.sampled_from(sorted(CONTENTS)),
    )
    def make_volume(self, service: Service, suffix: str, kind: str, files: str) -> None:
        """Create a volume, under a name of the stack's or another; a copy has the labels of the stack's own volume."""
        name = f"{self.project}-{service}"
        labels = {} if kind == "copied" else self.user.labels(kind, service)
        if kind == "copied" and suffix and name in self._own_volumes():
            labels = self.engine.inspect_volume(name)["Labels"] or {}
        self.user.make_volume(name + suffix, labels, CONTENTS[files])

    @precondition(lambda self: self._own_volumes())
    @rule(service=services, then=commands, lost=st.booleans())
    def restore(self, service: Service, then: str, lost: bool) -> None:
        """Stop a server and restore a backup over what is on its volume, with or without the record being lost."""
        name = f"{self.project}-{service}"
        if name in self._own_volumes():
            for container in self.engine.containers(filters={"volume": [name]}):
                if container["Id"] not in self.user.containers:
                    self.engine.stop(container["Id"])
            self.user.put(name, CONTENTS["a cluster" if service == Service.POSTGRES else "an append-only file"])
            self.known = "" if lost else self.known
        self._run(then)

    @rule(
        service=services,
        suffix=st.sampled_from(["", SET_ASIDE_SUFFIX, "-look", "-0123abcd-template", "-1"]),
        kind=st.sampled_from(LABELS[:2]),
        mounts=st.booleans(),
        start=st.booleans(),
    )
    def make_container(self, service: Service, suffix: str, kind: str, mounts: bool, start: bool) -> None:
        """Create a container, under a name of the stack's or another, on its data or not."""
        name = f"{self.project}-{service}"
        mounted = name if mounts else None
        self.user.make_container(name + suffix, self.user.labels(kind, service), mounted, start=start)

    @precondition(lambda self: self._servers())
    @rule(service=services, then=commands, how=st.sampled_from(["pause", "unpause", "stop", "disconnect", "remove"]))
    def meddle(self, service: Service, then: str, how: str) -> None:
        """Do to a server's container what its name allows, then perhaps run a command at once."""
        for container in self._of_the_stack(service):
            with suppress(APIError):
                match how:
                    case "disconnect":
                        for network in self.engine.networks(names=[self.project]):
                            self.engine.disconnect_container_from_network(container, network["Id"])
                    case "remove":
                        self.engine.remove_container(container, v=True, force=True)
                    case _:
                        getattr(self.engine, how)(container)
        self._run(then)

    @precondition(lambda self: self._servers())
    @rule(
        service=services,
        then=commands,
        how=st.sampled_from(["rename", "commit", "commit and remove"]),
        start=st.booleans(),
    )
    def take(self, service: Service, then: str, how: str, start: bool) -> None:
        """Rename a server's container, or make an image of it and a container of that, perhaps in its place."""
        for container in self._of_the_stack(service):
            if how == "rename":
                self.user.rename(container, f"{self.project}-{service}-mine")
                continue
            suffix = "" if how == "commit and remove" else "-snap"
            self.user.commit(
                container, f"{self.project}-{service}{suffix}", start=start, instead=how == "commit and remove"
            )
        self._run(then)

    @rule(connected=st.booleans())
    def use_a_network(self, connected: bool) -> None:
        """Create a network of the stack's name, or connect what runs to the one of the stack."""
        own = self.engine.networks(names=[self.project])
        if not connected and not own:
            self.user.make_network(self.project)
        for network in own if connected and self.modelled else ():
            for container, seen in list(self.user.containers.items()):
                if seen.status == "running":
                    self.engine.connect_container_to_network(container, network["Id"])
                    self.user.note(container)

    @precondition(lambda self: self.user.containers or self.user.networks or self.user.volumes)
    @rule()
    def clean_up(self) -> None:
        """Remove the user's own containers and networks, and those of his volumes that nothing mounts."""
        for container in self.user.containers:
            self.engine.remove_container(container, v=True, force=True)
        self.user.containers.clear()
        for network in list(self.user.networks):
            with suppress(APIError):
                self.engine.remove_network(network)
                self.user.networks.remove(network)
        for volume in list(self.user.volumes):
            with suppress(APIError):
                self.engine.remove_volume(volume)
                self.user.forget_volume(volume)

    def _of_the_stack(self, service: Service) -> list[str]:
        """Return the container of a server, if it is not the user's."""
        listed = self.engine.containers(all=True, filters={"name": f"{self.project}-{service}"})
        named = [found["Id"] for found in listed if f"/{self.project}-{service}" in found["Names"]]
        return [container for container in named if container not in self.user.containers]
