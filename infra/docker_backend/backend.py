"""The Docker backend: the protocol's words put to observe, plan and apply.

What only a change needs is imported where one is made: an `up` that finds everything in place has less to load.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from infra.backend import Operation, Say, Server
from infra.docker_backend import images
from infra.docker_backend.engine import Client, connect, find_endpoint
from infra.docker_backend.observe import Observed, observe
from infra.docker_backend.plan import Verb, plan_down, plan_up
from infra.errors import ServiceFailed, StackError
from infra.images.names import stand_in_of
from infra.secret import Secret
from infra.settings import BackendChoice
from infra.spec import ContainerSpec, Project, Service, StackSpec
from infra.state import state_directory
from infra.volumes import MARKER, Data, refuse_other_major

if TYPE_CHECKING:
    from infra.docker_backend.template import Template

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
        self._client: Client = connect(find_endpoint())
        self._seen: Observed | None = None
        self._first_password: Secret | None = None
        self._image_ids: dict[str, str | None] = {}

    def resolve(self, spec: StackSpec, known: Mapping[Service, str], deadline: timedelta | None, say: Say) -> StackSpec:
        """Return `spec` with images that are on this machine; pull what is missing."""
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

    def servers(self) -> dict[Service, Server]:
        """Return the project's running containers."""
        observed = self._observe()
        return {
            container.service: Server(
                service=container.service,
                port=container.port or 0,
                since=container.started,
                incarnation=f"{container.id} {container.started.isoformat()} {container.config_hash}",
                what=container.image,
            )
            for service in Service
            for container in observed.current(service)
            if container.running
        }

    def _observe(self) -> Observed:
        """Ask the engine once, until something was changed."""
        if self._seen is None:
            self._seen = observe(self._client, self._project.id)
        return self._seen

    def up(
        self, spec: StackSpec, undo: ExitStack, meanwhile: Callable[[], None] = lambda: None
    ) -> tuple[Operation, ...]:
        """Bring the containers to what `spec` declares."""
        operations = self.plan(spec)
        with self._template(spec, operations) as template:
            if template is None:
                operations = tuple(step for step in operations if step.verb != Verb.INITIALISE)
            else:
                self._first_password = template.password
            if operations:
                from infra.docker_backend.apply import WayUp

                self._seen = None
                WayUp(self._client, spec, template, undo).go(operations, meanwhile)
        return operations

    def _template(
        self, spec: StackSpec, operations: tuple[Operation, ...]
    ) -> "AbstractContextManager[Template | None]":
        """Open what new data is made from; None where there is none to make, or only the image itself can make it."""
        declared = _postgres(spec)
        image_id = self._image_id(declared.image)
        if image_id is None or not any(step.verb == Verb.INITIALISE for step in operations):
            return nullcontext()
        from infra.docker_backend.template import opened_template

        return opened_template(self._client, spec.labels, declared, image_id, self._templates)

    def plan(self, spec: StackSpec) -> tuple[Operation, ...]:
        """Return what `up` would do, without doing it.

        Raises:
            StackError: the data on a volume is another major version's.
        """
        observed = self._observe()
        image_ids = {declared.image: self._image_id(declared.image) for declared in spec.containers}
        return plan_up(
            spec,
            observed._replace(
                image_ids=tuple((reference, found) for reference, found in image_ids.items() if found),
                unborn=frozenset(self._unborn(spec, observed)),
            ),
        )

    def _unborn(self, spec: StackSpec, observed: Observed) -> Iterator[str]:
        """Yield the volume of PostgreSQL where its first start was never finished; look only where none is running."""
        declared = _postgres(spec)
        if declared.volume is None or declared.volume not in observed.volumes:
            return
        mounted = (declared.volume, declared.data_path)
        runs = any(container.running and mounted in container.volumes for container in observed.of(Service.POSTGRES))
        if runs or self._is_known(observed.mark_of(declared.volume)):
            return
        found = self.data(spec)
        if found is not None and found.version is not None:
            refuse_other_major(found.where, found.version)
        if found is not None and not found.complete:
            yield declared.volume

    def data(self, spec: StackSpec) -> Data | None:
        """Read the data volume's own words through a container that has it; where there is none, nothing is known."""
        from infra.docker_backend.volume import looked_into, read_file

        declared, observed = _postgres(spec), self._observe()
        mounted = (declared.volume, declared.data_path)
        existing = next((c for c in observed.of(Service.POSTGRES) if mounted in c.volumes), None)
        if declared.volume not in observed.volumes or (existing is None and self._image_id(declared.image) is None):
            return None
        with looked_into(self._client, spec, declared, existing.id if existing else None) as container:
            version = read_file(self._client, container, f"{declared.data_path}/PG_VERSION")
            marker = read_file(self._client, container, f"{declared.data_path}/{MARKER}")
        complete = marker is not None or not observed.mark_of(declared.volume)
        return Data(f"volume {declared.volume}", version.strip() if version else None, complete)

    def _is_known(self, mark: str) -> bool:
        return mark != "" and mark == self._known_data

    def still_alive(self, service: Service) -> None:
        """Return while the service's container runs."""
        for container in self._observe().current(service):
            state = self._client.inspect_container(container.id)["State"]
            if not state["Running"]:
                raise ServiceFailed(f"The container {container.name} ended with exit code {state['ExitCode']}.")

    def confirm(self, spec: StackSpec) -> str:
        """Mark the data as complete and let go of what was replaced."""
        from infra.docker_backend.apply import drop_set_aside

        declared = _postgres(spec)
        data = self._observe().mark_of(declared.volume)
        if data and not self._is_known(data):
            from infra.docker_backend.volume import complete

            complete(spec.postgres, declared.data_path)
        drop_set_aside(self._client, self._observe())
        return data

    def administer(self, spec: StackSpec, statements: Sequence[str], known_users: Sequence[str]) -> None:
        """Run statements with the password that new data has, else through the container's own socket: that trusts all.

        The engine takes fifty milliseconds to run a command in a container.
        """
        if self._first_password is not None:
            import psycopg

            from infra.superuser import execute

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
        raise StackError(f"PostgreSQL lets none of {', '.join(known_users)} in: {' '.join(answer.split())}")

    def down(self, *, volumes: bool) -> tuple[Operation, ...]:
        """Stop the containers; with `volumes` remove everything of the project."""
        from infra.docker_backend.apply import apply_down

        operations = plan_down(self._observe(), volumes=volumes)
        apply_down(self._client, operations)
        self._seen = None
        return operations

    def has_data(self) -> bool:
        """Tell whether the engine holds a volume of the project."""
        return bool(self._observe().volumes)

    def client(self, service: Service, words: Sequence[str], *, terminal: bool) -> Sequence[str]:
        """Return the docker CLI's command line that runs `words` in the service's container, on the same engine."""
        if shutil.which("docker") is None:
            return ()
        container = next(c.name for c in self._observe().current(service) if c.running)
        terminal_options = ("--tty",) if terminal else ()
        host = find_endpoint().url
        return ("docker", "--host", host, "exec", "--interactive", *terminal_options, container, *words)

    def logs(self, service: Service, lines: int = _LAST_WORDS, *, follow: bool = False) -> Iterator[str]:
        """Yield the last lines of the service's log, then with `follow` each new one."""
        from infra.docker_backend.log import read_log

        for container in self._observe().current(service):
            yield from read_log(self._client, container.id, lines, follow=follow)


def _postgres(spec: StackSpec) -> ContainerSpec:
    return next(declared for declared in spec.containers if declared.service is Service.POSTGRES)
