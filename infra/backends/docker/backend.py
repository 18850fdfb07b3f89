"""The Docker backend: the protocol's words put to observe, plan and apply.

What only a change needs is imported where one is made: an `up` that finds everything in place has less to load.
"""

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from infra.backends.data_directory import Data, refuse_only_others, refuse_other
from infra.backends.docker import images
from infra.backends.docker.engine import Client, connect, find_endpoint
from infra.backends.docker.errors import explained
from infra.backends.docker.observe import Observed, observe, users_of
from infra.backends.docker.ownership import postgres_volumes
from infra.backends.docker.plan import Verb, plan_down, plan_up
from infra.backends.protocol import Operation, Say, Server
from infra.config.errors import StackError, ended
from infra.config.identity import OUR_SERVICES, Project, Service, state_directory
from infra.config.secret import Secret
from infra.config.settings import BackendChoice
from infra.declaration.spec import ContainerSpec, StackSpec
from infra.images.names import stand_in_of

if TYPE_CHECKING:
    from infra.backends.docker.template import Template

_LAST_WORDS = 15


class DockerBackend:
    """The stack's servers as containers of one engine."""

    choice = BackendChoice.DOCKER

    def __init__(self, project: Project, known_data: str = "") -> None:
        """Connect to the engine. `known_data` names the data that was complete when it last served.

        Raises:
            EngineUnavailable: no engine answers.
        """
        self._project = project
        self._known_data = known_data
        self._templates = state_directory(project).parent / "templates"
        self._endpoint = find_endpoint()
        self._client: Client = connect(self._endpoint)
        self._seen: Observed | None = None
        self._first_password: Secret | None = None
        self._image_ids: dict[str, str | None] = {}

    def resolve(self, spec: StackSpec, known: Mapping[Service, str], deadline: timedelta | None, say: Say) -> StackSpec:
        """Return `spec` with images that are on this machine; pull what is missing, unless it could not be used."""
        self._refuse_only_others(spec, self._observe().volumes)
        spec = _with_images_declared(spec)
        return spec.with_images(
            {
                declared.service: self._image(declared.image, known.get(declared.service), deadline, say)
                for declared in spec.containers
            }
        )

    def _image(self, wanted: str, known: str | None, deadline: timedelta | None, say: Say) -> str:
        """Choose the image for `wanted`; the stand-in that served last time spares another try to pull."""
        wanted = self._local(wanted, known)
        if self._image_id(wanted) is None:
            wanted = images.obtain(self._client, wanted, deadline, say)
            self._image_ids.clear()
        return wanted

    def _local(self, wanted: str, known: str | None) -> str:
        return known if known and known == stand_in_of(wanted) and self._image_id(wanted) is None else wanted

    def present(self, spec: StackSpec, known: Mapping[Service, str]) -> StackSpec:
        """Return `spec` with the images that `resolve` would take if nothing could be pulled."""
        self._refuse_only_others(spec, self._observe().volumes)
        spec = _with_images_declared(spec)
        return spec.with_images({c.service: self._local(c.image, known.get(c.service)) for c in spec.containers})

    def missing(self, spec: StackSpec) -> tuple[Operation, ...]:
        """Return the pulls that `resolve` would try."""
        return tuple(
            Operation("pull image", image, "it is not on this machine")
            for image in dict.fromkeys(declared.image for declared in spec.containers)
            if self._image_id(image) is None
        )

    def _image_id(self, reference: str) -> str | None:
        if reference not in self._image_ids:
            self._image_ids[reference] = images.image_id(self._client, reference)
        return self._image_ids[reference]

    def extensions(self, spec: StackSpec) -> frozenset[str] | None:
        """Return the extensions that the image of PostgreSQL has; None where it is not on this machine."""
        from infra.backends.docker.said import extensions_in

        declared = self._locally(_postgres(spec))
        return extensions_in(self._client, spec, declared) if self._image_id(declared.image) else None

    def engine(self) -> tuple[str, str]:
        """Return the engine's address, and the id that it keeps whatever address it is reached at."""
        with explained(Operation("name", "itself", "")):
            return self._endpoint.url, str(self._client.info().get("ID", ""))

    def refuse_other_engine(self, endpoint: str, engine: str) -> None:
        """Refuse an engine other than the one that holds the stack: there it would be made again, without its data."""
        if engine and endpoint != self._endpoint.url and self.engine()[1] != engine:
            raise StackError(
                f"The stack of this checkout is on the container engine at {endpoint}, and {self._endpoint.source} "
                f"names another, at {self._endpoint.url}. Nothing was started or changed. Run the command with "
                f"DOCKER_HOST={endpoint}, as `invoke down --volumes` to give that stack up first; if that engine is "
                f"gone for good, remove {state_directory(self._project) / 'state.json'}."
            )

    def servers(self) -> dict[Service, Server]:
        """Return the project's running containers."""
        observed = self._observe()
        return {
            container.service: Server(
                service=container.service,
                port=container.port or 0,
                since=container.started,
                start_id=f"{container.id} {container.started.isoformat()} {container.config_hash}"
                + ("" if container.serves else " does not serve"),
                description=container.image,
                serves=container.serves,
                further_ports=container.further_ports,
            )
            for service in observed.services
            for container in observed.current(service)
            if container.running
        }

    def _observe(self) -> Observed:
        """Ask the engine once, until something was changed."""
        if self._seen is None:
            self._seen = observe(self._client, self._project.id)
        return self._seen

    def up(
        self, spec: StackSpec, undo: ExitStack, note_stop: Callable[[], None] = lambda: None
    ) -> tuple[Operation, ...]:
        """Bring the containers to what `spec` declares."""
        operations = self.plan(spec)
        with self._template(spec, operations) as template:
            if template is None:
                operations = tuple(step for step in operations if step.verb != Verb.INITIALISE)
            else:
                self._first_password = template.password
            if operations:
                from infra.backends.docker.apply import UpExecutor

                self._seen = None
                if any(step.verb == Verb.SET_ASIDE for step in operations):
                    note_stop()
                UpExecutor(self._client, spec, template, undo).run(operations)
        return operations

    def _template(
        self, spec: StackSpec, operations: tuple[Operation, ...]
    ) -> "AbstractContextManager[Template | None]":
        """Open what new data is made from; None where there is none to make, or only the image itself can make it."""
        declared = _postgres(spec)
        image_id = self._image_id(declared.image)
        if image_id is None or not any(step.verb == Verb.INITIALISE for step in operations):
            return nullcontext()
        from infra.backends.docker.template import open_template

        return open_template(self._client, spec.labels, declared, image_id, self._templates)

    def plan(self, spec: StackSpec) -> tuple[Operation, ...]:
        """Return what `up` would do, without doing it.

        Raises:
            ConfigError: the image is another PostgreSQL's than POSTGRES_VERSION.
            StackError: the data on a volume is another major version's or no server's, or somebody else has a name that
                the stack needs, or runs on its data.
        """
        operations = plan_up(spec, self._judged(spec))
        if operations:
            image = self._locally(_postgres(spec)).image
            if self._image_id(image) is not None:
                images.refuse_other_version(self._client, image, spec.postgres.version)
            from infra.backends.docker.refusals import refuse_shared_data, refuse_taken_names

            refuse_taken_names(spec, self._observe(), operations)
            begun = {o.target for o in operations if o.verb in {Verb.START_CONTAINER, Verb.UNPAUSE_CONTAINER}}
            volumes = self._observe().volumes & {c.volume for c in spec.containers if c.name in begun}
            refuse_shared_data(self._project.id, users_of(self._client, volumes), volumes)
            self._refuse_missing_libraries(spec, operations)
            self._refuse_unread_redis(spec, operations)
        return operations

    def _refuse_missing_libraries(self, spec: StackSpec, operations: tuple[Operation, ...]) -> None:
        """Refuse PostgreSQL's data that is to be started on, and asks for a library that the image does not have."""
        declared = self._locally(_postgres(spec))
        steps = {step.verb for step in operations if step.target in {declared.name, declared.volume}}
        fresh = {Verb.CREATE_VOLUME, Verb.INITIALISE} & steps
        if Verb.START_CONTAINER not in steps or fresh or declared.volume not in self._observe().volumes:
            return
        from infra.backends.docker.volume import looked_into, refuse_missing_libraries

        image_id = self._image_id(declared.image)
        current = next((c for c in self._observe().of(Service.POSTGRES) if c.id == self._mounting(declared)), None)
        if image_id is not None:
            same = current.id if current is not None and current.image_id == image_id else None
            with looked_into(self._client, spec, declared, same) as container:
                refuse_missing_libraries(self._client, container, declared)

    def _refuse_unread_redis(self, spec: StackSpec, operations: tuple[Operation, ...]) -> None:
        """Refuse Redis's data that another image is to be started on, and cannot read. Who ran last goes on unasked."""
        declared = self._locally(_redis(spec))
        steps = {step.verb for step in operations if step.target in {declared.name, declared.volume}}
        if Verb.CREATE_CONTAINER not in steps or declared.volume not in self._observe().volumes:
            return
        existing, image_id = self._mounting(declared), self._image_id(declared.image)
        if image_id is None or any(c.id == existing and c.image_id == image_id for c in self._observe().containers):
            return
        from infra.backends.docker.volume import looked_into, refuse_unread_redis

        with looked_into(self._client, spec, declared, existing) as container:
            refuse_unread_redis(self._client, spec, declared, container, image_id)

    def _judged(self, spec: StackSpec) -> Observed:
        """Return what the engine holds, with what is known of images and data; read data only where none runs on it.

        Raises:
            StackError: the data is not one that the stack may use.
        """
        observed = self._observe()
        image_ids = {declared.image: self._image_id(declared.image) for declared in spec.containers}
        uninitialised, empty = set[str](), set[str]()
        for declared in spec.containers:
            data = None if self._is_trusted(declared, observed) else self._read(spec, declared)
            if data is not None and declared.volume is not None:
                refuse_other(declared.service, data, spec.postgres.version)
                if not data.complete and declared.service == Service.POSTGRES:
                    (uninitialised if observed.mark_of(declared.volume) else empty).add(declared.volume)
        self._refuse_only_others(spec, observed.volumes - uninitialised - empty)
        return observed._replace(
            image_ids=tuple((reference, found) for reference, found in image_ids.items() if found),
            uninitialised=frozenset(uninitialised),
            empty=frozenset(empty),
        )

    def _refuse_only_others(self, spec: StackSpec, volumes: Collection[str]) -> None:
        """Refuse to begin new data of PostgreSQL where these volumes hold data, and none of its version."""
        found = [version for name, version in postgres_volumes(self._project.id).items() if name in volumes]
        if spec.durable and not spec.beside and spec.postgres.version not in found:
            refuse_only_others(spec.postgres.version, found)

    def versions(self) -> list[int]:
        """Return the versions of PostgreSQL of which there are volumes."""
        return [v for name, v in postgres_volumes(self._project.id).items() if name in self._observe().volumes]

    def discard(self, version: int) -> None:
        """Remove the volume of PostgreSQL's data of a version, if `up` made it; no server runs on it."""
        self._seen = None
        names = [name for name, of in postgres_volumes(self._project.id).items() if of == version]
        for name in self._observe().volumes - self._observe().kept:
            if name in names:
                with explained(Operation(Verb.REMOVE_VOLUME, name, "")):
                    self._client.remove_volume(name)
        self._seen = None

    def _is_trusted(self, declared: ContainerSpec, observed: Observed) -> bool:
        """Return whether a volume need not be read: a server of the stack runs on it, or `up` knows what it holds."""
        mounted = (declared.volume, declared.mount_path)
        if any(container.running and mounted in container.volumes for container in observed.of(declared.service)):
            return True
        if declared.service not in OUR_SERVICES:
            return True  # what the product's servers keep is theirs to judge
        return declared.service == Service.POSTGRES and self._is_known(observed.mark_of(declared.volume))

    def data(self, spec: StackSpec) -> Data | None:
        """Read the data volume's own words through a container that has it; where there is none, nothing is known."""
        return self._read(spec, _postgres(spec))

    def _read(self, spec: StackSpec, declared: ContainerSpec) -> Data | None:
        from infra.backends.docker.volume import read_data

        observed = self._observe()
        existing, declared = self._mounting(declared), self._locally(declared)
        if declared.volume not in observed.volumes or (existing is None and self._image_id(declared.image) is None):
            return None
        # What compose has made has no marker of `up`'s; whether initdb ended there, its access rules tell.
        found = read_data(self._client, spec, declared, existing, ours=observed.mark_of(declared.volume) != "")
        return found._replace(remove=self._removal(declared, existing))

    def _removal(self, declared: ContainerSpec, existing: str | None) -> str:
        """Return the command that removes a volume: the engine removes none that a container has."""
        down = f"invoke down --volumes --service {declared.service}"
        if declared.service == Service.POSTGRES and len(self.versions()) > 1:  # which removes that of every version
            container = f"docker rm --force {existing[:12]} && " if existing else ""
            return f"{container}docker volume rm {declared.volume}"
        if declared.volume not in self._observe().kept:
            return down
        remove = f"docker volume rm {declared.volume}"
        return remove if existing is None else f"{down} && {remove}"

    def _mounting(self, declared: ContainerSpec) -> str | None:
        """Return the stack's container that mounts the volume, whether it runs or not; None where there is none."""
        mounted = (declared.volume, declared.mount_path)
        return next((c.id for c in self._observe().of(declared.service) if mounted in c.volumes), None)

    def _locally(self, declared: ContainerSpec) -> ContainerSpec:
        """Return a declaration with the image that this machine has, which may be the stand-in."""
        return declared._replace(image=self._local(declared.image, stand_in_of(declared.image)))

    def _is_known(self, mark: str) -> bool:
        return mark != "" and mark == self._known_data

    def still_alive(self, service: Service) -> None:
        """Return while the service's container runs."""
        for container in self._observe().current(service):
            state = self._client.inspect_container(container.id)["State"]
            if not state["Running"]:
                raise ended(f"The container {container.name}", service, state["ExitCode"])

    def health(self, service: Service) -> str | None:
        """Run the container's health check, its declaration's or its image's, from here: engines run it seldom."""
        for container in self._observe().current(service):
            kind, *words = self._client.inspect_container(container.id)["Config"].get("Healthcheck", {}).get(
                "Test"
            ) or [""]
            if kind not in {"CMD", "CMD-SHELL"}:
                return None
            command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
            made = self._client.exec_create(container.id, command)
            answer = self._client.exec_start(made["Id"]).decode(errors="replace").strip()
            code = self._client.exec_inspect(made["Id"])["ExitCode"]
            return "" if code == 0 else f"its health check ended with {code}: {answer[-200:] or 'no output'}"
        return None

    def confirm(self, spec: StackSpec) -> str:
        """Mark the data as complete and remove what was replaced."""
        from infra.backends.docker.apply import drop_set_aside

        declared = _postgres(spec)
        data = self._observe().mark_of(declared.volume)
        if data and not self._is_known(data):
            from infra.backends.docker.volume import complete

            complete(spec.postgres, declared.data_path)
        drop_set_aside(self._client, self._observe())
        return data

    def administer(self, spec: StackSpec, statements: Sequence[str], known_users: Sequence[str]) -> None:
        """Run statements with the password that new data has, else through the container's own socket: that trusts all.

        The engine takes fifty milliseconds to run a command in a container.
        """
        if self._first_password is not None:
            import psycopg

            from infra.backends.superuser import execute

            with suppress(psycopg.Error):
                execute(spec.postgres, self._first_password, "\n".join(statements))
                return
        answer = ""
        for user in known_users:
            # In the environment of that one command: its arguments can be read by everybody on the host.
            command = ["sh", "-c", 'printf %s "$STATEMENTS" | psql -qX -v ON_ERROR_STOP=1 -U "$0" -d postgres', user]
            made = self._client.exec_create(
                _postgres(spec).name, command, environment={"STATEMENTS": "\n".join(statements)}
            )
            answer = self._client.exec_start(made["Id"]).decode(errors="replace")
            if self._client.exec_inspect(made["Id"])["ExitCode"] == 0:
                return
        raise StackError(
            f"PostgreSQL lets none of {', '.join(known_users)} in: {' '.join(answer.split())}. Set POSTGRES_USER to "
            "the superuser that the data was made for, then run `invoke up` again."
        )

    def down(self, *, volumes: bool, services: Collection[Service] | None = None) -> tuple[Operation, ...]:
        """Stop the containers of these services; with `volumes` remove everything that `up` made for them."""
        from infra.backends.docker.apply import apply_down

        operations = plan_down(self._observe(), volumes=volumes, services=services)
        apply_down(self._client, operations)
        self._seen = None
        return operations

    def refuse_used_data(self, services: Collection[Service] | None = None) -> None:
        """Return where no container but the stack's own mounts a volume of these services that `up` made.

        Raises:
            StackError: another container does, running or not.
        """
        from infra.backends.docker.refusals import refuse_used_data

        made = self._observe().volumes_of(services) - self._observe().kept
        refuse_used_data(self._project.id, users_of(self._client, made, stopped=True), made)

    def has_data(self) -> bool:
        """Return whether the engine holds a volume of the stack's."""
        return bool(self._observe().volumes)

    def removal_commands(self, services: Collection[Service] | None = None) -> tuple[str, ...]:
        """Return the commands that remove what `down` left of these services."""
        observed = self._observe()
        networks = observed.networks if services is None else ()
        return (
            *(f"docker volume rm {name}" for name in sorted(observed.volumes_of(services))),
            *(f"docker network rm {network}" for network in networks),
        )

    def refuse_damaged_redis(self, spec: StackSpec) -> None:
        """Refuse an append-only file that Redis would not load, for its damage or for the version that wrote it."""
        from infra.backends.docker.volume import looked_into, open_file, refuse_unread_redis
        from infra.backends.redis_file import refuse_damaged

        declared = self._locally(_redis(spec))
        existing = self._mounting(declared)
        if declared.volume in self._observe().volumes and (existing or self._image_id(declared.image)):
            with looked_into(self._client, spec, declared, existing) as container:
                refuse_damaged(
                    f"volume {declared.volume}",
                    lambda name: open_file(self._client, container, f"{declared.data_path}/{name}"),
                )
                refuse_unread_redis(self._client, spec, declared, container, self._image_id(declared.image))

    def client(self, service: Service, words: Sequence[str], *, terminal: bool) -> Sequence[str]:
        """Return the docker CLI's command line that runs `words` in the service's container, on the same engine."""
        if shutil.which("docker") is None:
            return ()
        container = next(c.name for c in self._observe().current(service) if c.serves)
        terminal_options = ("--tty",) if terminal else ()
        return ("docker", "--host", self._endpoint.url, "exec", "--interactive", *terminal_options, container, *words)

    def logs(self, service: Service, lines: int = _LAST_WORDS, *, follow: bool = False) -> Iterator[str]:
        """Yield the last lines of the service's log, then with `follow` each new one."""
        from infra.backends.docker.log import read_log

        for container in self._observe().current(service):
            yield from read_log(self._client, container.id, lines, follow=follow)


def _with_images_declared(spec: StackSpec) -> StackSpec:
    """Return the stack without servers that are declared for plain processes alone."""
    return spec.without({s.service: "it names no image" for s in spec.services if not s.image})


def _postgres(spec: StackSpec) -> ContainerSpec:
    return next(declared for declared in spec.containers if declared.service == Service.POSTGRES)


def _redis(spec: StackSpec) -> ContainerSpec:
    return next(declared for declared in spec.containers if declared.service == Service.REDIS)
