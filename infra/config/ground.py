"""What pyproject.toml says of the product and of the ground that it stands on: the one reader of [tool.groundwork].

In a checkout the file lies beside the packages. Where the packages are installed without it, this folder has a copy:
`product.toml` is a link to it, which becomes a file when a wheel is built.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from infra.config.errors import ConfigError
from infra.config.settings import CHECKOUT

TABLE = "tool.groundwork"
DEFAULT_NAME = "app"

_KEYS = {
    "name": str,
    "models": str,
    "ground": str,
    "base": str,
    "remote": str,
    "isolation": Mapping,
    "extensions": object,
}
_HELD = ("name", "models", "isolation", "extensions")


class Ground(NamedTuple):
    """What [tool.groundwork] holds.

    `name` is that of the database and of the schema of functions, and what the roles' names begin with; `models` is the
    package of the product's models, `version` the ground's. `isolation` and `extensions` are as they are written, for
    `schema.isolation.declarations` and `infra.config.extensions` to read.
    """

    name: str = DEFAULT_NAME
    models: str = "schema.models"
    version: str = "unknown"
    isolation: Mapping[str, Any] = MappingProxyType({})
    extensions: object = ()


@cache
def ground() -> Ground:
    """Return what holds for this process, read once.

    Raises:
        ConfigError: as `read_ground`.
    """
    in_checkout = (CHECKOUT / "migrations").is_dir()
    return read_ground(CHECKOUT / "pyproject.toml" if in_checkout else Path(__file__).with_name("product.toml"))


def read_ground(path: Path) -> Ground:
    """Read [tool.groundwork] of a pyproject.toml; defaults where there is no such file, or no such table in it.

    Raises:
        ConfigError: the file cannot be read, a key is unknown or a value cannot be used; names file and key.
    """
    document = read_pyproject(path)
    tool, project = (_table(document, key, path) for key in ("tool", "project"))
    section = tool.get("groundwork", {})
    require_known(section, _KEYS, TABLE, path)
    for key, value in section.items():
        if not isinstance(value, _KEYS[key]):
            wanted = "a text" if _KEYS[key] is str else "a table"
            raise ConfigError(
                f"{TABLE}.{key} in {path} is not {wanted}. Correct it and run the command again.",
                setting=f"{TABLE}.{key}",
                file=path,
            )
    version = section.get("ground") or project.get("version", "unknown")
    found = Ground(version=str(version), **{key: section[key] for key in _HELD if key in section})
    if found.name != DEFAULT_NAME:
        _require_name(found.name, path)
    if not all(part.isidentifier() for part in found.models.split(".")):
        raise ConfigError(
            f"{TABLE}.models in {path} is {found.models!r}, which is not the name of a package. Write it as in an "
            'import, such as "schema.models".',
            setting=f"{TABLE}.models",
            file=path,
        )
    return found


def _require_name(name: str, path: Path) -> None:
    from infra.config.database_names import NAMES, why_no_name

    if wrong := why_no_name(name):
        raise ConfigError(
            f"{TABLE}.name in {path} is {name!r}, which {wrong}. Write {NAMES}.", setting=f"{TABLE}.name", file=path
        )


def _table(within: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    if isinstance(found := within.get(key, {}), Mapping):
        return found
    raise ConfigError(f"{key} in {path} is not a table. Write its keys below a line [{key}].", setting=key, file=path)


def read_pyproject(path: Path) -> dict[str, Any]:
    """Return what a pyproject.toml holds; nothing where there is no file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Correct it and run the command again.", file=path) from None


@cache
def _parsed(text: str) -> dict[str, Any]:
    """Return what TOML says. A command asks for the same file more than once, and parsing costs a millisecond."""
    return tomllib.loads(text)


def require_known(section: Any, known: Mapping[str, object], where: str, path: Path) -> None:
    """Refuse what is not a table, and keys that nothing reads: a misspelled one would have no effect.

    Raises:
        ConfigError: names the file, the key and the one that may have been meant.
    """
    _table({where: section}, where, path)
    if unknown := sorted(section.keys() - known.keys()):
        from difflib import get_close_matches

        near = get_close_matches(unknown[0], known, 1)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"[{where}] in {path} has the key {unknown[0]!r}, which nothing reads. {meant}"
            f"The keys are {', '.join(known)}.",
            setting=f"{where}.{unknown[0]}",
            file=path,
        )


def ground_version(checkout: Path = CHECKOUT) -> str:
    """Return the version of the ground: what a product has recorded, else the ground's own; "unknown" without a file.

    Raises:
        ConfigError: pyproject.toml cannot be read.
    """
    return read_ground(checkout / "pyproject.toml").version


def models_folder() -> Path:
    """Return the folder of the package of the product's models. Nothing of it is imported.

    Raises:
        ConfigError: there is no such package.
    """
    from importlib.util import find_spec

    first, *within = ground().models.split(".")
    found = find_spec(first)
    for place in (found and found.submodule_search_locations) or ():
        if (folder := Path(place, *within)).is_dir():
            return folder
    raise ConfigError(
        f"{TABLE}.models names {ground().models}, and there is no such package. Write the name by which it is imported "
        f"into {CHECKOUT / 'pyproject.toml'}; where it is new, add it to `include` of "
        "[tool.setuptools.packages.find] there and install the project again.",
        setting=f"{TABLE}.models",
        file=CHECKOUT / "pyproject.toml",
    )
