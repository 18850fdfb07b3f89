"""Look at the world, and damage it, beside the project's own commands: the engine's things, processes, files."""

import os
import signal
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import docker
import psutil

from infra.backends.docker.engine import find_endpoint
from infra.config.identity import Project, Service, state_directory
from infra.config.settings import BackendChoice
from infra.declaration.spec import PROJECT_LABEL
from infra.images.names import STAND_INS

Engine = Any  # the SDK ships no types


@contextmanager
def engine() -> Iterator[Engine]:
    """Connect to the engine beside the code under test."""
    client: Engine = docker.APIClient(find_endpoint().url, version="auto")
    try:
        yield client
    finally:
        client.close()


def things_of(project: Project, backend: BackendChoice) -> list[str]:
    """Name everything that exists of a project in a backend."""
    return _engine_things(project) if backend is BackendChoice.DOCKER else _machine_things(project)


def _engine_things(project: Project) -> list[str]:
    ours = {"label": f"{PROJECT_LABEL}={project.id}"}
    with engine() as client:
        return [
            *(found["Names"][0] for found in client.containers(all=True, filters=ours)),
            *(found["Name"] for found in client.volumes(filters=ours)["Volumes"] or ()),
            *(found["Name"] for found in client.networks(filters=ours)),
        ]


def _machine_things(project: Project) -> list[str]:
    folder = state_directory(project)
    working = [f"process {p.pid}" for p in psutil.process_iter() if _cwd(p).startswith(f"{folder}/")]
    return working + [str(path) for path in (folder / "postgres", folder / "redis", folder / "bin") if path.exists()]


def _cwd(process: psutil.Process) -> str:
    try:
        return str(process.cwd())
    except psutil.Error:
        return ""


def kill_servers(project: Project, backend: BackendChoice) -> None:
    """Kill the project's servers, as a crash of the machine would."""
    if backend is BackendChoice.EMBEDDED:
        folder = str(state_directory(project))
        for process in psutil.process_iter():
            if _cwd(process).startswith(f"{folder}/"):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        return
    with engine() as client:
        for found in client.containers(filters={"label": f"{PROJECT_LABEL}={project.id}"}):
            client.kill(found["Id"])


def signal_within_postgres(project: Project, backend: BackendChoice, pid: int, how: signal.Signals) -> None:
    """Send a signal to one of PostgreSQL's own processes, by the id that it knows itself by."""
    if backend is BackendChoice.EMBEDDED:
        os.kill(pid, how)
        return
    with engine() as client:
        command = ["sh", "-c", f"kill -{how.name.removeprefix('SIG')} {pid}"]
        client.exec_start(client.exec_create(f"{project.id}-{Service.POSTGRES}", command, user="root")["Id"])


def data_files(project: Project, backend: BackendChoice) -> set[str]:
    """Return the files of PostgreSQL's data folder, each with the digest of its content."""
    return set(_in_data(project, backend, "find . -type f ! -name 'postmaster.*' -exec md5sum {} +").splitlines())


def remove_data_files(project: Project, backend: BackendChoice, *names: str) -> None:
    """Remove files from PostgreSQL's data folder."""
    _in_data(project, backend, f"rm {' '.join(names)}")


def write_data_file(project: Project, backend: BackendChoice, name: str, text: str) -> None:
    """Write a file in PostgreSQL's data folder."""
    _in_data(project, backend, f"echo {text} > {name}")


def _in_data(project: Project, backend: BackendChoice, script: str, service: Service = Service.POSTGRES) -> str:
    """Run a shell script in a server's data folder; in the engine by a container of its own on the volume."""
    if backend is BackendChoice.EMBEDDED:
        folder = state_directory(project) / service / "data"
        return subprocess.run(["sh", "-c", script], cwd=folder, check=True, capture_output=True, text=True).stdout
    with engine() as client:
        made = client.create_container(
            STAND_INS["postgres:16"],
            entrypoint=["sh", "-c", f"cd /data && {script}"],
            host_config=client.create_host_config(binds=[f"{project.id}-{service}:/data"]),
        )
        try:
            client.start(made)
            assert client.wait(made)["StatusCode"] == 0, client.logs(made).decode()
            return str(client.logs(made).decode())
        finally:
            client.remove_container(made, v=True, force=True)


def back_up(project: Project, backend: BackendChoice, service: Service, names: str = "") -> bytes:
    """Return an archive of a stopped server's data, without what `up` wrote into it; of `names` alone where given."""
    kept = f"find . -type f -name '{names or '*'}' ! -name 'groundwork.*'; find . -mindepth 1 -type d -empty"
    script = f"({kept}) | tar --create --no-recursion --numeric-owner --files-from - | base64 -w 0"
    return b64decode(_in_data(project, backend, script, service))


def restore(project: Project, backend: BackendChoice, service: Service, archive: bytes) -> None:
    """Restore data by hand: into a volume or a folder that is there, or into a new one."""
    if backend is BackendChoice.EMBEDDED:
        folder = state_directory(project) / service / "data"
        folder.mkdir(parents=True, exist_ok=True)
        for made in (folder.parent.parent, folder.parent):
            made.chmod(0o711)
        folder.chmod(0o700)
        subprocess.run(["tar", "-x", "-p", "--numeric-owner"], cwd=folder, check=True, input=archive)
        if os.geteuid() == 0:  # the servers run as another user then
            account = next(found for found in folder.rglob("*") if found.is_file()).stat()
            for path in (folder, *folder.rglob("*")):
                os.chown(path, account.st_uid, account.st_gid)
        return
    with engine() as client:
        volume = f"{project.id}-{service}"
        made = client.create_container(
            STAND_INS["redis:7-alpine"], host_config=client.create_host_config(binds=[f"{volume}:/data"])
        )
        try:
            client.put_archive(made, "/data", archive)
        finally:
            client.remove_container(made, v=True, force=True)


def remove_data(project: Project, backend: BackendChoice) -> None:
    """Remove all that is in PostgreSQL's data folder, and leave the folder or volume."""
    _in_data(project, backend, "find . -mindepth 1 -delete")


def run_in_data(project: Project, backend: BackendChoice, service: Service, script: str) -> None:
    """Run a shell script in a server's data folder."""
    _in_data(project, backend, script, service)
