"""The embedded backend: the protocol's words put to plain processes."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from shlex import quote
from typing import NamedTuple

import psutil

from infra.backends.data_directory import MADE, MARKER, Data, refuse_only_others
from infra.backends.embedded import postgres, process, product, redis
from infra.backends.embedded.binaries import Programs, find_postgres, find_programs, place, placed
from infra.backends.embedded.folder import open_if_there, remove_made
from infra.backends.embedded.log import read_log
from infra.backends.embedded.plan import Observed, Verb, plan_up, words_of
from infra.backends.embedded.server import Launch
from infra.backends.listening import listens, refuse_privileged
from infra.backends.protocol import Operation, Say, Server
from infra.backends.redis_file import refuse_damaged, snapshot_magic
from infra.backends.redis_program import choose
from infra.backends.steps import run_uninterrupted
from infra.config.errors import ended
from infra.config.identity import OUR_SERVICES, ROOT_STATE, Project, Service, service_of, state_directory
from infra.config.settings import BackendChoice
from infra.config.versions import POSTGRES_VERSIONS
from infra.declaration.spec import StackSpec, versioned

_STRAY_SECONDS = 10
_PORT_SECONDS = 5
_STOP = {Service.POSTGRES: (signal.SIGINT, 30.0), Service.REDIS: (signal.SIGTERM, 10.0)}


class _Running(NamedTuple):
    """A server's process, and the data folder that it works in."""

    process: psutil.Process
    directory: Path


class EmbeddedBackend:
    """The stack's servers as processes of this machine, their data below the state folder."""

    choice = BackendChoice.EMBEDDED

    def __init__(self, project: Project, *, durable: bool = True, services: Sequence[Service] = OUR_SERVICES) -> None:
        """Say where the data lives: on disk, or in memory where it need not last; and which servers are run."""
        self._services = services
        self._account = process.Account.for_servers()
        in_memory = not durable and os.access(postgres.MEMORY, os.W_OK)
        self.folder = postgres.MEMORY / f"groundwork-{project.id}" if in_memory else state_directory(project)
        # Shared by all projects of this user: it holds nothing of any of them.
        self._templates = state_directory(project).parent / "templates"
        self._children: dict[Service, subprocess.Popen[bytes]] = {}

    def resolve(self, spec: StackSpec, known: Mapping[Service, str], deadline: timedelta | None, say: Say) -> StackSpec:  # noqa: ARG002 - the protocol's signature
        """Return `spec` without the product's servers that have no program here; what is for containers is not used."""
        return spec.without(product.missing_programs(spec, self._account))

    def present(self, spec: StackSpec, known: Mapping[Service, str]) -> StackSpec:  # noqa: ARG002 - the protocol's signature
        """Return `spec` as `resolve` does."""
        return spec.without(product.missing_programs(spec, self._account))

    def missing(self, spec: StackSpec) -> tuple[Operation, ...]:  # noqa: ARG002 - the protocol's signature
        """Return nothing: the programs are installed or they are not."""
        return ()

    def extensions(self, spec: StackSpec) -> frozenset[str]:
        """Return the extensions that the wheel's PostgreSQL has."""
        shared = find_postgres(spec.postgres.version).folder.parent / "share" / "postgresql" / "extension"
        return frozenset(control.stem for control in shared.glob("*.control"))

    def engine(self) -> tuple[str, str]:
        """Return nothing: the servers run on this machine."""
        return "", ""

    def refuse_other_engine(self, endpoint: str, engine: str) -> None:
        """Return: there is no engine."""

    def servers(self) -> dict[Service, Server]:
        """Return the project's running servers."""
        found = {}
        for service in self._known():
            running = self._running(service)
            started = process.noted(self._beside(service, "json"))
            if running is not None and started is not None:
                since, pid = process.started_at(running.process), running.process.pid
                start_id = f"{pid} {since.isoformat()} {started.config_hash}"
                found[service] = Server(
                    service, started.port, since, start_id, f"process {pid}", further_ports=started.further_ports
                )
        return found

    def plan(self, spec: StackSpec) -> tuple[Operation, ...]:
        """Return what `up` would do, without doing it.

        Raises:
            StackError: the data is another major version's.
        """
        installed = self._installed(spec)
        return self._plan(spec, self._launches(spec, self._programs(installed)), installed)

    def up(
        self, spec: StackSpec, undo: ExitStack, note_stop: Callable[[], None] = lambda: None
    ) -> tuple[Operation, ...]:
        """Bring the processes to what `spec` declares."""
        installed = self._installed(spec)
        programs = self._programs(installed)
        launches = {launch.service: launch for launch in self._launches(spec, programs)}
        operations = self._plan(spec, tuple(launches.values()), installed)
        if operations:
            self._make_room(installed, undo)
        if any(operation.verb == Verb.STOP for operation in operations):
            note_stop()
        for operation in operations:
            launch = launches[Service(operation.target)]
            match operation.verb:
                case Verb.STOP:
                    run_uninterrupted(partial(self._stop_for_now, launch, undo))
                case Verb.INITIALISE:
                    self._initialise(spec, launch, programs, undo)
                case Verb.START:
                    run_uninterrupted(partial(self._start, launch, undo))
                case _:
                    raise AssertionError(f"no step of this backend: {operation}")
        if operations:
            self._await_ports(launches.values())
        return operations

    def _await_ports(self, launches: Iterable[Launch]) -> None:
        """Wait until the servers that were started listen or have ended: then their ports are nobody else's."""
        from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

        waiting = Retrying(
            retry=retry_if_result(lambda settled: not settled),
            stop=stop_after_delay(_PORT_SECONDS),
            wait=wait_fixed(0.005),
            retry_error_callback=lambda _: None,
        )
        for launch in launches:
            child = self._children.get(launch.service)
            if child is not None:
                waiting(lambda child=child, port=launch.port: child.poll() is not None or listens(port))

    def still_alive(self, service: Service) -> None:
        """Return while the service's process runs."""
        child = self._children.get(service)
        if child is not None and child.poll() is not None:
            raise ended(f"The {service} server", service, child.returncode)

    def health(self, service: Service) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Return None: a health check is a command of the image."""
        return None

    def confirm(self, spec: StackSpec) -> str:
        """Mark data that `up` made as complete. Looking into a folder costs nothing, so it needs no name."""
        directory = self._directory(Service.POSTGRES, spec.postgres.version)
        if (directory / MADE).exists():
            (directory / MARKER).touch()
        return ""

    def administer(self, spec: StackSpec, statements: Sequence[str], known_users: Sequence[str]) -> None:  # noqa: ARG002 - single-user mode asks for no user
        """Run statements in single-user mode (PostgreSQL manual, postgres(1)); the server starts again."""
        programs = self._programs(self._installed(spec))
        launch = self._launches(spec, programs)[0]
        self._stop(Service.POSTGRES)
        postgres.administer(programs.postgres, launch.directory, statements, self._account)
        self._start(launch, ExitStack())

    def down(self, *, volumes: bool, services: Collection[Service] | None = None) -> tuple[Operation, ...]:
        """Stop these servers; with `volumes` remove their data that `up` made, logs and programs as well."""
        whole_stack = services is None
        services = self._known() if services is None else services
        cause = "the stack goes down" if whole_stack else "it is to go down"
        stopped = tuple(Operation(Verb.STOP, s, cause) for s in services if self._stop(s))
        for service in services:
            for directory in self._directories(service):
                # A command that was killed may have started one and not come to note it.
                process.end_strays(directory, _STRAY_SECONDS)
                if volumes:
                    remove_made(directory, self._beside(service, "log"), self._beside(service, "json"))
        if volumes and whole_stack:
            shutil.rmtree(self._bin, ignore_errors=True)
            with suppress(OSError):
                self.folder.rmdir()
        return stopped

    def refuse_used_data(self, services: Collection[Service] | None = None) -> None:
        """Return: a folder can be removed whoever looks into it."""

    def has_data(self) -> bool:
        """Return whether data is there that a server may be started on."""
        return bool(self.versions())

    def discard(self, version: int) -> None:
        """Remove PostgreSQL's data of a version, if `up` made it; no server runs on it."""
        remove_made(self._directory(Service.POSTGRES, version))

    def versions(self) -> list[int]:
        """Return the versions of PostgreSQL whose data is there, finished."""
        read = {v: postgres.read_data(self._directory(Service.POSTGRES, v)) for v in POSTGRES_VERSIONS}
        return [version for version, data in read.items() if data is not None and data.complete]

    def removal_commands(self, services: Collection[Service] | None = None) -> tuple[str, ...]:
        """Return the commands that remove what `down` left of these servers."""
        folders = (self._directory(service).parent for service in services or self._known())
        return tuple(f"rm -r {quote(str(folder))}" for folder in folders if folder.exists())

    def refuse_damaged_redis(self, spec: StackSpec) -> None:  # noqa: ARG002 - the protocol's signature
        """Refuse an append-only file that Redis would not load."""
        directory = self._directory(Service.REDIS)
        refuse_damaged(str(directory), lambda name: open_if_there(directory / name))

    def data(self, spec: StackSpec) -> Data | None:
        """Read what the data folder says of itself."""
        return postgres.read_data(self._directory(Service.POSTGRES, spec.postgres.version))

    def client(self, service: Service, words: Sequence[str], *, terminal: bool) -> Sequence[str]:  # noqa: ARG002 - the protocol's signature
        """Return nothing: the servers' programs are this machine's."""
        return ()

    def logs(self, service: Service, lines: int, *, follow: bool = False) -> Iterator[str]:
        """Yield the last lines of the service's log, then with `follow` each new one."""
        return read_log(self._beside(service, "log"), lines, follow=follow)

    @property
    def _bin(self) -> Path:
        return self.folder / "bin"

    def _known(self) -> tuple[Service, ...]:
        """Return the servers that have a folder, and ours."""
        folders = sorted(self.folder.iterdir()) if self.folder.is_dir() else ()
        found = filter(None, (service_of(folder.name) for folder in folders))
        return (*OUR_SERVICES, *(service for service in found if service not in OUR_SERVICES))

    def _directory(self, service: Service, version: int = POSTGRES_VERSIONS[0]) -> Path:
        """Return the folder of a service's data, of PostgreSQL that of a version."""
        return self.folder / service.object_name / versioned("data", version)

    def _directories(self, service: Service) -> list[Path]:
        """Return the folders that a service's data may be in."""
        versions = POSTGRES_VERSIONS if service == Service.POSTGRES else POSTGRES_VERSIONS[:1]
        return [self._directory(service, version) for version in versions]

    def _beside(self, service: Service, suffix: str) -> Path:
        return self.folder / service.object_name / f"{service}.{suffix}"

    def _installed(self, spec: StackSpec) -> Programs:
        """Return the installed programs; for Redis the one that goes on with its data."""
        directory, former = self._directory(Service.REDIS), process.noted(self._beside(Service.REDIS, "json"))
        last = Path(former.command[0]).name if former else ""
        magic = snapshot_magic(lambda name: open_if_there(directory / name))
        return find_programs(spec, lambda found: choose(found, last, magic, str(directory)))

    def _programs(self, installed: Programs) -> Programs:
        return installed if self._account is None else placed(installed, self._bin)

    def _make_room(self, installed: Programs, undo: ExitStack) -> None:
        _make_folder(self.folder)
        if self._account is None:
            return
        ROOT_STATE.mkdir(parents=True, exist_ok=True)
        ROOT_STATE.chmod(0o755)
        if not self._bin.exists():
            undo.callback(shutil.rmtree, self._bin, ignore_errors=True)
            _make_folder(self._bin)
        place(installed, self._bin)

    def _launches(self, spec: StackSpec, programs: Programs) -> tuple[Launch, ...]:
        launches = (
            postgres.launch(spec.postgres, programs.postgres, self._directory(Service.POSTGRES, spec.postgres.version)),
            redis.launch(spec.redis, programs.redis, self._directory(Service.REDIS)),
            *(
                product.launch(spec, service, self._directory(service.service), self._account)
                for service in spec.services
            ),
        )
        for launch in launches:
            refuse_privileged(launch.service, launch.port)
        return tuple(
            launch for launch in launches if launch.service in self._services or launch.service not in OUR_SERVICES
        )

    def _plan(self, spec: StackSpec, launches: tuple[Launch, ...], installed: Programs) -> tuple[Operation, ...]:
        version = spec.postgres.version
        operations = plan_up(launches, {launch.service: self._observe(launch, version) for launch in launches})
        steps = {step.verb for step in operations if step.target == Service.POSTGRES}
        if Verb.INITIALISE in steps:
            refuse_only_others(version, () if spec.beside else self.versions())
        elif Verb.START in steps:
            postgres.refuse_missing_libraries(self._directory(Service.POSTGRES, version), installed.postgres)
        return operations

    def _observe(self, launch: Launch, version: int) -> Observed:
        service, directory = launch.service, launch.directory
        running = self._running(service)
        started = process.noted(self._beside(service, "json"))
        if running is not None and running.directory == directory:
            complete = True
        elif service == Service.POSTGRES:
            complete = postgres.is_complete(directory, version)
        else:  # the product's data is not looked into
            complete = service != Service.REDIS or redis.is_complete(directory)
        return Observed(
            running=running is not None,
            config_hash=started.config_hash if started else None,
            complete=complete,
            words=words_of(started.command, started.config) if started else (),
        )

    def _running(self, service: Service) -> _Running | None:
        started, child = process.noted(self._beside(service, "json")), self._children.get(service)
        since = started.since if started else 0.0
        for directory in self._directories(service):
            # PostgreSQL's own lock file first: it holds where the notes are of a server that is gone.
            lock = postgres.server_pid(directory) if service == Service.POSTGRES else None
            for pid in (lock, started and started.pid, child and child.pid):
                if pid and (found := process.find(pid, directory, since)):
                    return _Running(found, directory)
        return None

    def _initialise(self, spec: StackSpec, launch: Launch, programs: Programs, undo: ExitStack) -> None:
        # How to take a step back comes first: an interrupt may fall between any two lines.
        new = not launch.directory.parent.exists()
        undo.callback(remove_made, launch.directory, *((launch.log, launch.notes) if new else ()))
        _make_folder(launch.directory.parent)
        process.end_strays(launch.directory, _STRAY_SECONDS)
        if launch.service == Service.POSTGRES:
            _make_folder(self._templates)
            postgres.initialise(spec.postgres, programs.postgres, launch.directory, self._templates, self._account)
        else:
            redis.initialise(launch.directory, self._account)

    def _start(self, launch: Launch, undo: ExitStack) -> None:
        process.end_strays(launch.directory, _STRAY_SECONDS)
        if launch.service == Service.POSTGRES:
            postgres.forget_dead_server(launch.directory)
        if launch.service not in OUR_SERVICES:
            product.make_folder(launch.directory, launch.log, launch.notes, account=self._account, undo=undo)
        config = launch.config + launch.password_line.reveal()
        variables = dict(launch.environment) | {key: secret.reveal() for key, secret in launch.secrets}
        child = process.spawn(
            launch.command, launch.directory, launch.log, self._account, config=config, variables=variables
        )
        self._children[launch.service] = child
        # Before it is written down, which a full disk refuses.
        undo.callback(self._stop, launch.service)
        since = 0.0 if launch.service in OUR_SERVICES else psutil.Process(child.pid).create_time()
        told = (launch.command, launch.config, launch.environment, launch.further_ports, since)
        process.note(launch.notes, process.Started(child.pid, launch.port, launch.config_hash, *told))

    def _stop_for_now(self, launch: Launch, undo: ExitStack) -> None:
        """Stop a server that is to be started otherwise, so that it can be started again as it was."""
        before, running = process.noted(launch.notes), self._running(launch.service)
        self._stop(launch.service)
        if before is not None and running is not None:
            told = {key: getattr(before, key) for key in ("command", "config", "port", "environment", "further_ports")}
            former = replace(launch, **told, directory=running.directory)
            undo.callback(lambda: self._start(former, ExitStack()))

    def _stop(self, service: Service) -> bool:
        running = self._running(service)
        if running is None:
            return False
        how, seconds = _STOP.get(service, (signal.SIGTERM, 10.0))
        process.stop(running.process, running.directory, how, seconds)
        if service not in OUR_SERVICES:
            process.kill_group(running.process.pid)
        if service in self._children:
            self._children.pop(service).wait()
        return True


def _make_folder(folder: Path) -> None:
    """Make a folder that the servers' user can pass through and nobody else can list."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
