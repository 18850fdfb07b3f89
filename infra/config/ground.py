"""Which version of the ground a checkout stands on."""

import tomllib
from pathlib import Path

from infra.config.errors import ConfigError
from infra.config.settings import CHECKOUT


def ground_version(checkout: Path = CHECKOUT) -> str:
    """Return the version of the ground: what a product has recorded, else the ground's own; "unknown" without a file.

    Raises:
        ConfigError: pyproject.toml cannot be read.
    """
    path = checkout / "pyproject.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:  # the packages alone, without a checkout
        return "unknown"
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Correct it and run the command again.", file=path) from None
    recorded = document.get("tool", {}).get("groundwork", {}).get("ground")
    return str(recorded or document.get("project", {}).get("version", "unknown"))
