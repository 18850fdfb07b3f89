"""The code that decides what a run of migrations does: which files that is, and their digest. Standard library only."""

import hashlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def code_of(checkout: Path) -> str:
    """Return the digest of everything that decides what a migration run does."""
    whole = hashlib.sha256((checkout / "pyproject.toml").read_bytes())
    for folder in (_PACKAGE, *migration_folders(checkout)):
        for file in _files(folder):
            content = file.read_bytes()
            whole.update(f"{file.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
            whole.update(content)
    return whole.hexdigest()


def migration_folders(checkout: Path) -> Iterator[Path]:
    """Yield the folders of a checkout's migrations and of what runs them, as its pyproject.toml names them."""
    pyproject = checkout / "pyproject.toml"
    told = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {}).get("alembic", {})
    for location in (told.get("script_location", ""), *told.get("version_locations", ())):
        yield Path(location.replace("%(here)s", str(checkout)))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
