"""Bring the stack up and down and say how it is: the only orchestration, over whichever backend serves."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import NamedTuple

from infra.backends.protocol import INITIALISE, Backend, Operation, Say, Server
from infra.config.errors import (
    ConfigError,
    EngineUnavailable,
    EnvironmentFault,
    ImageUnavailable,
    StackError,
    disk_explained,
)
from infra.config.identity import OUR_SERVICES, Project, Service, state_directory
from infra.config.record import Record, forget
from infra.config.settings import BackendChoice, Settings
from infra.config.versions import Place, listed, postgres_at
from infra.declaration.spec import StackSpec
from infra.images.names import stand_in_of
from infra.stack.adoption import forget_adoption
from infra.stack.declared import UNSET, declare_stack
from infra.stack.extensions import missing_extensions, refuse_missing_extensions
from infra.stack.locks import ports_claimed, project_lock, undisturbed
from infra.stack.ports import choose_ports, spec_ports
from infra.stack.readiness import Preparation, Readiness, await_return, fingerprint


class Stack(NamedTuple):
    """A stack as it runs, and what the last command did to it.

    `left` are commands that remove what it left of data, `left_out` the declared servers that the backend cannot run.
    """

    project: Project
    backend: BackendChoice | None
    servers: dict[Service, Server]
    operations: tuple[Operation, ...] = ()
    left: tuple[str, ...] = ()
    left_out: Mapping[Service, str] = {}

    @property
    def ports(self) -> dict[Service, int]:
        """Each port of each server that runs, by its name."""
        return {name: port for server in self.servers.values() for name, port in server.ports.items()}


def up(
    settings: Settings, project: Project, prepare: Preparation, say: Say, *, durable: bool = True, beside: bool = False
) -> Stack:
    """Bring the stack up and prove that it serves; do nothing where that was proven since its servers started.

    With `beside` new data of PostgreSQL may begin where there is data of another version alone.

    If it fails, what this call created is removed, and what it replaced is started again.

    Raises:
        ConfigError: the settings do not make a stack.
        EnvironmentFault: engine, image, program or port is not to be had.
        StackError: the servers did not become ready, or their data cannot be used.
    """
    declared = declare_stack(settings, project, durable=durable)._replace(beside=beside)
    with disk_explained(), project_lock(project, say), ExitStack() as undo:
        record = Record.load(project)
        ended = _finish_interrupted_down(project, record, say)
        backend, spec = choose(settings, declared, record, say)
        with ports_claimed(project):
            before = backend.servers()
            spec = spec.on_ports(choose_ports(spec, record.ports if record else {}, before, say))
            note = _stopping_note(record, project, undo, say)
            undo.callback(_await_restored_servers, project, backend.choice, before, settings)
            former = record.superuser if record else ""
            operations: tuple[Operation, ...] = ()
            proof = Readiness(backend, spec, settings, prepare, former, fresh=False, say=say)
            for stage in spec.stages():
                if operations:  # those of the stage before, which this one's servers depend on
                    proof.prove()
                operations = (*operations, *backend.up(stage, undo, note))
                fresh = any(step.verb == INITIALISE for step in operations)
                proof = proof._replace(spec=stage, fresh=fresh)
        if operations or not is_proven(record, backend.servers(), settings, prepare) or _differs(record, spec):
            proof.prove()
            data = backend.confirm(spec)
            _remember(backend, spec, fingerprint(backend.servers(), settings, prepare), data, record)
        _tell_of_others(backend, spec, say)
        undo.pop_all()
    return Stack(project, backend.choice, backend.servers(), (*ended, *operations), left_out=dict(spec.left_out))


def _differs(record: Record | None, spec: StackSpec) -> bool:
    """Return whether other servers are left out than before."""
    return record is not None and record.left_out != dict(spec.left_out)


def _tell_of_others(backend: Backend, spec: StackSpec, say: Say) -> None:
    """Say which servers are left out, and which run on although they are declared no more."""
    for service, reason in spec.left_out:
        say(f"{service} is left out: {reason}")
    for service in backend.servers():
        if service not in spec.ports:
            say(f"{service} runs and is declared no more; `invoke down --service {service}` stops it")


def _stopping_note(record: Record | None, project: Project, undo: ExitStack, say: Say) -> Callable[[], None]:
    """Return what notes that a server is told to end, which answers for a moment more.

    The note stands until the stack is proven, or what was changed is taken back.
    """
    if record is None:
        return lambda: None
    undo.callback(_note_down, replace(record, stopping=False), project, say)  # once all else is taken back
    return lambda: _note_down(replace(record, stopping=True), project, say)


def _finish_interrupted_down(project: Project, record: Record | None, say: Say) -> tuple[Operation, ...]:
    """Stop the servers that an interrupted command may have told to end: they may answer, and end a moment later."""
    if record is None or not record.stopping:
        return ()
    say("a command was interrupted that stops servers: waiting until they have ended")
    return recorded_backend(record, project).down(volumes=False)


def _await_restored_servers(
    project: Project, choice: BackendChoice, before: Mapping[Service, Server], settings: Settings
) -> None:
    """Wait until the restored servers answer: the last step of a rollback of `up`."""
    # Whatever goes wrong here, as an engine that is gone by now: the user is shown why the attempt failed.
    with suppress(Exception):
        backend = make_backend(choice, project)
        again = {s: server for s, server in backend.servers().items() if s in before and server != before[s]}
        if again:
            await_return(backend, again, settings, project.id)


def _remember(backend: Backend, spec: StackSpec, proven: dict[Service, str], data: str, before: Record | None) -> None:
    endpoint, engine = backend.engine()
    Record(
        backend=backend.choice,
        path=spec.project.path,
        # Also of a server that was taken out of the declaration: its data may be there.
        ports=(before.ports if before else {}) | spec_ports(spec),
        proven=proven,
        images=_images(spec),
        left_out=dict(spec.left_out),
        extensions=spec.extensions,
        superuser=spec.postgres.user,
        data=data,
        endpoint=endpoint,
        engine=engine,
    ).save(spec.project)


def down(project: Project, say: Say, *, volumes: bool = False, services: Collection[Service] | None = None) -> Stack:
    """Stop the stack, or these servers of it, and keep their data; with `volumes` remove all of it that `up` made.

    Raises:
        StackError: somebody else uses the data that would be removed; nothing was stopped or removed.
    """
    with project_lock(project, say):
        record = Record.load(project)
        backends = [recorded_backend(record, project)] if record else list(_existing(project))
        if volumes:
            for backend in backends:
                backend.refuse_used_data(services)
        ended = record.proven if record and services is None else services or ()
        still_up = {s: proof for s, proof in record.proven.items() if s not in ended} if record else {}
        if record:
            _note_down(replace(record, proven=still_up, stopping=True), project, say)
        operations = tuple(step for backend in backends for step in backend.down(volumes=volumes, services=services))
        left: tuple[str, ...] = ()
        if volumes:
            left = tuple(c for backend in _with_embedded(backends, project) for c in backend.removal_commands(services))
        if volumes and services is None:
            forget(project)
            forget_adoption(project)
        elif record:
            _note_down(replace(record, proven=still_up, stopping=False), project, say)
    return Stack(project, record.backend if record else None, {}, operations, left)


def _note_down(record: Record, project: Project, say: Say) -> None:
    """Write down how far a `down` is; a full disk must not prevent servers from being stopped."""
    try:
        with disk_explained():
            record.save(project)
    except EnvironmentFault as error:
        say(f"going on without a note of it: {error}")


def _with_embedded(backends: list[Backend], project: Project) -> Iterable[Backend]:
    """Yield the backends, and the embedded one where it has data although the stack was not run by it."""
    yield from backends
    if BackendChoice.EMBEDDED not in {backend.choice for backend in backends} and state_directory(project).exists():
        with suppress(EngineUnavailable):  # the embedded backend's library is not installed
            yield make_backend(BackendChoice.EMBEDDED, project)


def status(project: Project) -> Stack:
    """Return what runs and serves; changes nothing."""
    record = Record.load(project)
    if record is None:
        return Stack(project, None, {})
    found = recorded_backend(record, project).servers()
    serving = {service: server for service, server in found.items() if server.serves}
    return Stack(project, record.backend, serving, left_out=record.left_out)


def plan(settings: Settings, project: Project, prepare: Preparation, say: Say) -> Stack:
    """Return what runs and the operations that `up` would do to it now; changes nothing.

    Raises:
        As `up` would before it starts anything.
    """
    declared = declare_stack(settings, project, or_else=UNSET)
    with undisturbed(project, say):
        record = Record.load(project)
        backend, spec = choose(settings, declared, record, say, fetch=False)
        servers = backend.servers()
        spec = spec.on_ports(choose_ports(spec, record.ports if record else {}, servers, say))
        ending = (_END,) if record and record.stopping else ()
        steps = (*ending, *backend.missing(spec), *backend.plan(spec))
        proof = () if steps or is_proven(record, servers, settings, prepare) else (_PROOF,)
    return Stack(project, backend.choice, servers, (*steps, *proof))


def as_chosen(settings: Settings, project: Project) -> StackSpec:
    """Return the declaration with the ports and images that the last `up` chose where the settings leave them open."""
    spec, record = declare_stack(settings, project, or_else=UNSET), Record.load(project)
    spec = spec.without({s.service: "it names no image" for s in spec.services if not s.image})
    if record is None:
        return spec
    images = {c.service: _image_to_serve(c.image, record.images.get(c.service)) for c in spec.containers}
    return spec.with_images(images).on_ports(
        {name: chosen for name, port in spec.ports.items() if (chosen := port or record.ports.get(name))}
    )


def _image_to_serve(declared: str, served: str | None) -> str:
    return served if served and served == stand_in_of(declared) else declared


_END = Operation("stop and start", "the stack", "a command that stops it was interrupted")
_PROOF = Operation("prove", "the stack", "its servers, its passwords or its preparation are not those last proven")


def is_proven(
    record: Record | None, servers: Mapping[Service, Server], settings: Settings, prepare: Preparation
) -> bool:
    """Return whether what runs was proven to serve with these settings."""
    return record is not None and record.proven == fingerprint(servers, settings, prepare)


def logged_services(project: Project) -> tuple[Service, ...]:
    """Return the servers that there may be logs of."""
    record = Record.load(project)
    ports = record.ports if record else {}
    return (*OUR_SERVICES, *(name for name in ports if name not in OUR_SERVICES and ":" not in name))


def logs(project: Project, service: Service, lines: int, *, follow: bool = False) -> Iterator[str]:
    """Yield the last lines of a server's log, whether it runs or not; with `follow` then each new one."""
    record = Record.load(project)
    for backend in [recorded_backend(record, project)] if record else _existing(project):
        yield from backend.logs(service, lines, follow=follow)


def choose(
    settings: Settings, spec: StackSpec, record: Record | None, say: Say, *, fetch: bool = True
) -> tuple[Backend, StackSpec]:
    """Return the backend that serves and the spec with what it needs in place; without `fetch` nothing is got for it.

    Raises:
        EnvironmentFault: engine or image is not to be had.
        StackError: the data lives in another backend than the one asked for.
    """
    known = record.images if record else {}
    choice = settings.stack_backend
    if choice is BackendChoice.AUTO and record is not None:
        choice = record.backend
    if (
        choice is BackendChoice.AUTO
        and make_backend(BackendChoice.EMBEDDED, spec.project, durable=spec.durable).has_data()
    ):
        choice = BackendChoice.EMBEDDED
    if record is not None and record.backend is not choice:
        _refuse_backend_switch(record, choice, spec.project)
    if choice is not BackendChoice.AUTO:
        backend = make_backend(choice, spec.project, durable=spec.durable, known_data=record.data if record else "")
        if record:
            backend.refuse_other_engine(record.endpoint, record.engine)
        resolved = backend.resolve(spec, known, None, say) if fetch else backend.present(spec, known)
        if record is None or record.extensions != spec.extensions or record.images != _images(resolved):
            refuse_missing_extensions(backend, resolved)
        return backend, resolved
    return _choose_first(settings, spec, say, fetch=fetch)


def _choose_first(settings: Settings, spec: StackSpec, say: Say, *, fetch: bool) -> tuple[Backend, StackSpec]:
    """Choose for a stack that has neither record nor data: containers if they have what it needs."""
    try:
        backend = make_backend(BackendChoice.DOCKER, spec.project)
        limit = settings.stack_pull_timeout
        resolved = backend.resolve(spec, {}, limit, say) if fetch else backend.present(spec, {})
    except EngineUnavailable as error:
        if not error.absent:
            raise
        reason = str(error).partition(". ")[0]
    except ImageUnavailable as error:
        reason = str(error).partition(". ")[0]
    else:
        lacking = missing_extensions(backend, resolved)
        if not lacking or spec.postgres.version not in postgres_at(Place.EMBEDDED):
            refuse_missing_extensions(backend, resolved)
            say("backend: docker (an engine answers); remembered for this checkout")
            return backend, resolved
        reason = f"{resolved.postgres.image} has no extension {', '.join(lacking)}"
    _refuse_containers_alone(spec.postgres.version, reason)
    embedded = make_backend(BackendChoice.EMBEDDED, spec.project, durable=spec.durable)
    refuse_missing_extensions(embedded, spec)
    say(f"backend: embedded, plain processes ({reason}); remembered for this checkout")
    return embedded, embedded.resolve(spec, {}, None, say)


def _images(spec: StackSpec) -> dict[Service, str]:
    return {declared.service: declared.image for declared in spec.containers}


def _refuse_containers_alone(version: int, reason: str) -> None:
    others = postgres_at(Place.EMBEDDED)
    if version not in others:
        raise EnvironmentFault(
            f"PostgreSQL {version} runs in containers alone, and there is none here: {reason}. Correct that, or set "
            f"POSTGRES_VERSION to one that plain processes have as well ({listed(others)}).",
            setting="POSTGRES_VERSION",
        )


def _refuse_backend_switch(record: Record, choice: BackendChoice, project: Project) -> None:
    if recorded_backend(record, project).has_data():
        raise StackError(
            f"The data of this checkout lives in the {record.backend} backend, and STACK_BACKEND asks for {choice}. "
            f"Set STACK_BACKEND={record.backend}, or give the data up first with `invoke down --volumes`."
        )


def recorded_backend(record: Record, project: Project) -> Backend:
    """Connect to the backend that the stack was last brought up on.

    Raises:
        EngineUnavailable: its engine does not answer.
        StackError: another engine answers.
    """
    backend = make_backend(record.backend, project)
    backend.refuse_other_engine(record.endpoint, record.engine)
    return backend


def make_backend(choice: BackendChoice, project: Project, *, durable: bool = True, known_data: str = "") -> Backend:
    """Connect to a backend; its library is imported here and not before."""
    try:
        if choice is BackendChoice.EMBEDDED:
            from infra.backends.embedded.backend import EmbeddedBackend

            return EmbeddedBackend(project, durable=durable)
        from infra.backends.docker.backend import DockerBackend

        return DockerBackend(project, known_data)
    except ModuleNotFoundError as error:
        if error.name not in {"docker", "psutil"}:
            raise
        message = (
            f"The {choice} backend needs the Python package {error.name}, which is not installed. Install the project "
            f"with its extra: pip install -e '.[{choice}]'"
        )
        raise EngineUnavailable(message, absent=choice is BackendChoice.DOCKER) from None


def _existing(project: Project) -> Iterable[Backend]:
    """Yield the backends that may hold a project that has no record; no engine where none is to be used."""
    if state_directory(project).exists():
        yield make_backend(BackendChoice.EMBEDDED, project)
    with suppress(ConfigError):  # a faulty .env must not prevent a stack from being stopped
        if Settings.load().stack_backend is BackendChoice.EMBEDDED:
            return
    try:
        yield make_backend(BackendChoice.DOCKER, project)
    except EngineUnavailable as error:
        if not error.absent:
            raise
