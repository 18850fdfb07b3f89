"""The code that decides what a run of migrations does: which files that is, and their digest."""

from collections.abc import Iterator
from pathlib import Path

from infra.config.digest import digest
from infra.config.ground import read_pyproject

_PACKAGE = Path(__file__).resolve().parents[2]


def migration_code_digest(checkout: Path) -> str:
    """Return the digest of everything that decides what a migration run does."""
    return digest((checkout / "pyproject.toml", _PACKAGE, *migration_folders(checkout)))


def migration_folders(checkout: Path) -> Iterator[Path]:
    """Yield the folders of a checkout's migrations and of what runs them, as its pyproject.toml names them."""
    told = read_pyproject(checkout / "pyproject.toml").get("tool", {}).get("alembic", {})
    for location in (told.get("script_location", ""), *told.get("version_locations", ())):
        yield Path(location.replace("%(here)s", str(checkout)))
