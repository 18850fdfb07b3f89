"""The models and migrations that the ground's tests are written for, and a checkout that has them.

In the checkout of a product the tests would find the product's tables, and take each for damage or for what they made
themselves. There they run in a copy, which has neither the product's commands, since those may need its models, nor its
servers, nor what its pyproject.toml allows: an entry that matches nothing is a finding.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import tomlkit

from infra.config.ground import Ground, read_ground
from infra.config.settings import CHECKOUT

OWN = Path(__file__).parent / "product"
_PLACES = {"models": Path("schema", "models"), "versions": Path("migrations", "versions")}
ISOLATION = OWN / "isolation.toml"
_NAMES = ("name", "models", "extensions")
_ISOLATION_TABLES = re.compile(
    r"^\[tool\.groundwork\.isolation\b.*?(?=^\[(?!tool\.groundwork\.isolation\b)|\Z)", re.MULTILINE | re.DOTALL
)
# Of no use to the tests, or somebody's secrets.
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "venv", ".env", "*.egg-info", ".*_cache", ".hypothesis", "exports")


def has_own_models(checkout: Path = CHECKOUT) -> bool:
    """Return whether a checkout declares and migrates what the ground's tests are written for, by their names."""
    named = read_ground(checkout / "pyproject.toml")
    if (named.name, named.models) != (Ground().name, Ground().models) or named.extensions:
        return False
    return all({*_files(OWN / own)} == {*_files(checkout / place)} for own, place in _PLACES.items())


def copy_with_own_models(folder: Path, checkout: Path = CHECKOUT) -> None:
    """Copy a checkout into a new folder, with the ground's models and migrations in the place of the product's."""
    shutil.copytree(checkout, folder, ignore=_LEFT_OUT, symlinks=True)
    for own, place in _PLACES.items():
        shutil.rmtree(folder / place)
        shutil.copytree(OWN / own, folder / place)
    for name in ("tasks.py", "services.py"):
        (folder / "infra" / "product" / name).unlink(missing_ok=True)
    pyproject = folder / "pyproject.toml"
    others = without_names(_ISOLATION_TABLES.sub("", pyproject.read_text(encoding="utf-8")))
    pyproject.write_text(f"{others}\n{ISOLATION.read_text(encoding='utf-8')}", encoding="utf-8")


def without_names(text: str) -> str:
    """Return a pyproject.toml that has the names by default, and no extensions."""
    document = tomlkit.parse(text)
    for key in _NAMES:
        document["tool"].get("groundwork", {}).pop(key, None)
    return tomlkit.dumps(document)


def take_as_own(checkout: Path) -> None:
    """Have the ground's tests of a copy run on what it declares and migrates, however that was changed."""
    for own, place in _PLACES.items():
        shutil.copytree(checkout / place, checkout / OWN.relative_to(CHECKOUT) / own, dirs_exist_ok=True)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in folder.rglob("*.py"):
        yield file.relative_to(folder).as_posix(), file.read_bytes()
