"""The code that decides what a run of migrations does: which files that is, and their digest."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from infra.config.digest import digest

_PACKAGE = Path(__file__).resolve().parents[2]


def migration_code_digest(checkout: Path) -> str:
    """Return the digest of everything that decides what a migration run does."""
    return digest((checkout / "pyproject.toml", _PACKAGE, *migration_folders(checkout)))


def migration_folders(checkout: Path) -> Iterator[Path]:
    """Yield the folders of a checkout's migrations and of what runs them, as its pyproject.toml names them."""
    pyproject = checkout / "pyproject.toml"
    told = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {}).get("alembic", {})
    for location in (told.get("script_location", ""), *told.get("version_locations", ())):
        yield Path(location.replace("%(here)s", str(checkout)))
