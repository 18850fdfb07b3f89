"""The PostgreSQL extensions that the product declares."""

import re
from collections.abc import Sequence
from pathlib import Path

from infra.config.errors import ConfigError
from infra.config.ground import read_ground
from infra.config.settings import CHECKOUT, database_name

TEMPLATE = f"groundwork_extensions_{database_name()}"
"""The database that has the extensions and nothing else, from which shadow databases are cloned."""

_KEY = "[tool.groundwork] extensions"
# What a control file's name may be (PostgreSQL manual, 36.17; extension.c, check_valid_extension_name), less what no
# known extension uses and a shell or path would take for something else.
_NAME = re.compile(r"[A-Za-z0-9_](?:-?[A-Za-z0-9_])*")


def declared_extensions(checkout: Path = CHECKOUT) -> tuple[str, ...]:
    """Return the names of the extensions in pyproject.toml, each once, in their order; none without a file.

    Raises:
        ConfigError: the file cannot be read, or they are no list of names.
    """
    path = checkout / "pyproject.toml"
    return parse_extensions(read_ground(path).extensions, path)


def parse_extensions(value: object, path: Path) -> tuple[str, ...]:
    """Return the declared names, each once, in their order.

    Raises:
        ConfigError: it is no list of names.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(
            f'{_KEY} in {path} is {value!r}. Write a list of names, such as ["pg_trgm", "vector"].',
            setting=_KEY,
            file=path,
        )
    for name in value:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"{_KEY} in {path} names {name!r}, which is no extension's name. Write it as pg_available_extensions "
                "has it, such as pg_trgm or uuid-ossp.",
                setting=_KEY,
                file=path,
            )
    return tuple(dict.fromkeys(value))
