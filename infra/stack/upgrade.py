"""Take the stack's data along to a later version of PostgreSQL, which begins beside the former one's.

What was dumped is restored in new data, which has no completion marker before its rows were counted. So whatever fails,
or is killed, the former data serves again, and what was begun is made again. The dump is there from before the new data
is begun until the new version is written down: one that is found tells that new data is a killed command's.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from infra.backends.data_directory import Data
from infra.backends.protocol import Backend, Say
from infra.config.endpoints import admin_url
from infra.config.env_writer import change_env_file
from infra.config.errors import ConfigError, StackError, disk_explained
from infra.config.identity import Project, Service
from infra.config.record import Record, dump_file
from infra.config.settings import BackendChoice, Settings
from infra.config.urls import DatabaseUrl
from infra.config.versions import POSTGRES_VERSIONS, listed
from infra.declaration.spec import StackSpec, build_stack
from infra.stack.lifecycle import Stack, recorded_backend, up
from infra.stack.readiness import Preparation
from infra.stack.transfer import dumped, restore


def upgrade(
    version: int, settings: Settings, project: Project, prepare: Preparation, say: Say, *, env_file: Path
) -> Stack:
    """Bring the stack up on `version` of PostgreSQL with the data of the former one, and write it into `env_file`.

    Raises:
        ConfigError: the settings do not allow that version, or would win over what is written.
        EnvironmentFault: there is no such server here.
        StackError: there is nothing to take along, or it failed; the former data is as it was, and serves.
    """
    _refuse_settings(version, settings, env_file)
    record, dump = Record.load(project), dump_file(project)
    if record is None:
        raise StackError(f"This checkout has no stack yet. Set POSTGRES_VERSION={version} and run `invoke up`.")
    backend = recorded_backend(record, project)
    former = _former(version, settings.postgres_version, backend.versions())
    before, after = (replace(settings, postgres_version=each) for each in (former, version))
    if backend.choice is BackendChoice.EMBEDDED:
        from infra.backends.embedded.binaries import find_postgres

        find_postgres(version)
    declared = backend.resolve(build_stack(after, project)._replace(beside=True), record.images, None, say)
    after = replace(after, postgres_image=declared.postgres.image)
    _refuse_finished(backend.data(declared), settings, version, dump)
    current = up(before, project, prepare, say)
    backend = recorded_backend(record, project)
    if dump.exists():
        say(f"an upgrade was killed: what it made of PostgreSQL {version}'s data is made again")
        backend.discard(version)
    say(f"dumping the data of PostgreSQL {former}; nobody can write to it meanwhile")
    admin = admin_url(before, current.ports)
    try:
        with disk_explained(), dumped(backend, admin, version, dump) as contents:

            def take_along(url: DatabaseUrl, its_settings: Settings) -> None:
                say(f"restoring {len(contents.rows)} tables into PostgreSQL {version}")
                restore(recorded_backend(record, project), url, version, dump, contents)
                prepare.run(url, its_settings)

            stack = up(after, project, prepare._replace(run=take_along), say, beside=True)
    except BaseException:
        dump.unlink(missing_ok=True)
        raise
    change_env_file(env_file, {"POSTGRES_VERSION": str(version)})
    dump.unlink()
    _tell_of_former(recorded_backend(record, project), build_stack(before, project), contents.size, say)
    return stack


def _refuse_settings(version: int, settings: Settings, env_file: Path) -> None:
    if version not in POSTGRES_VERSIONS:
        raise ConfigError(
            f"There is no way to PostgreSQL {version}: {listed(POSTGRES_VERSIONS)} are supported.",
            setting="POSTGRES_VERSION",
        )
    if settings.postgres_image is not None:
        raise ConfigError(
            f"POSTGRES_IMAGE is {settings.postgres_image}, and each version has an image of its own. Leave it empty, "
            "run `invoke up`, and then this command again.",
            setting="POSTGRES_IMAGE",
        )
    written = Settings.load(env_file, {}).postgres_version
    if settings.postgres_version not in {written, version}:
        raise ConfigError(
            f"POSTGRES_VERSION={settings.postgres_version} in the environment wins over {env_file}, where the new "
            "version is to be written. Unset it and run the command again.",
            setting="POSTGRES_VERSION",
        )


def _former(version: int, current: int, found: Sequence[int]) -> int:
    """Return the version whose data is taken along to `version`: the `current` one where there is data of it."""
    others = [each for each in found if each != version]
    if not others:
        instead = f"The data is PostgreSQL {version}'s already" if found else "There is no data to take along"
        raise StackError(f"{instead}. Set POSTGRES_VERSION={version} and run `invoke up`.")
    former = current if current in others else max((each for each in others if each < version), default=max(others))
    if former > version:
        raise StackError(
            f"The data is PostgreSQL {former}'s, and no PostgreSQL takes data of a later version: there is no way down "
            f"to {version} but a dump that you make yourself. Nothing was changed.",
            service=Service.POSTGRES,
        )
    return former


def _refuse_finished(found: Data | None, settings: Settings, version: int, dump: Path) -> None:
    """Refuse to replace finished data of `version`, but for that of an upgrade that was killed before it said so."""
    if found is None or not found.complete:
        return
    if settings.postgres_version == version:
        dump.unlink(missing_ok=True)
        raise StackError(f"The data is PostgreSQL {version}'s already, in {found.where}. Run `invoke up`.")
    if not dump.exists():
        raise StackError(
            f"There is data of PostgreSQL {version} already, in {found.where}. Nothing was changed. Set "
            f"POSTGRES_VERSION={version} to use it, or remove it with `{found.remove}` and run the command again."
        )


def _tell_of_former(backend: Backend, before: StackSpec, size: int, say: Say) -> None:
    """Say where the former data is, how to go back to it and how to be rid of it."""
    found = backend.data(backend.present(before._replace(beside=True), {}))
    where = f" in {found.where}" if found else ""
    version = before.postgres.version
    say(
        f"the data of PostgreSQL {version} ({size / 1e6:.0f} MB) stays as it was{where}: POSTGRES_VERSION={version} in "
        ".env goes back to it, and `invoke down --volumes` removes it with all other data"
    )
