"""Whether files are still the same is asked in one way, and of every file that counts.

The kind: lists of files that are kept by hand, of which one is missing, so that an answer outlives what it was made of.
"""

import shutil
from pathlib import Path

import pytest

from infra.config.digest import digest
from infra.config.settings import CHECKOUT
from schema.migration import shadow_template


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a file, and one within a folder of it."""
    (tmp_path / "code" / "within").mkdir(parents=True)
    (tmp_path / "code" / "one.py").write_text("1")
    (tmp_path / "code" / "within" / "two.sql").write_text("2")
    return tmp_path / "code"


def test_every_change_of_a_folder_counts(folder: Path) -> None:
    """A file that is changed, added, renamed or moved, and words, change the digest; another place does not."""
    before = digest([folder], "16")
    seen = {before, digest([folder], "17"), digest([folder], "1", "6"), digest([folder, folder], "16")}
    (folder / "one.py").write_text("2")
    seen.add(digest([folder], "16"))
    (folder / "one.py").rename(folder / "three.py")
    seen.add(digest([folder], "16"))
    (folder / "three.py").rename(folder / "within" / "three.py")
    seen.add(digest([folder], "16"))
    (folder / "empty").touch()
    seen.add(digest([folder], "16"))
    assert len(seen) == 8
    again = shutil.copytree(folder, folder.parent / "elsewhere" / "code")
    assert digest([again], "16") == digest([folder], "16")


def test_what_python_leaves_behind_does_not_count(folder: Path) -> None:
    """Bytecode is no code, and a path where nothing is adds nothing."""
    before = digest([folder])
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "one.pyc").write_text("1")
    assert digest([folder, folder / "nothing"]) == before


def test_a_template_is_of_all_the_code_but_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file of the package counts, and of the product's models those that a migration imports."""
    package, versions = tmp_path / "schema", tmp_path / "migrations" / "versions"
    shutil.copytree(CHECKOUT / "schema", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations")
    monkeypatch.setattr(shadow_template, "_PACKAGE", package)
    monkeypatch.setattr(shadow_template, "models_folder", lambda: package / "models")
    before = shadow_template.key(tmp_path, versions)
    for file in sorted(package.rglob("*.py")):
        content = file.read_bytes()
        file.write_bytes(content + b"\n")
        changed = shadow_template.key(tmp_path, versions) != before
        assert changed is not file.is_relative_to(package / "models"), file
        file.write_bytes(content)
    (versions / "0002_next.py").write_text("from schema.models.users import User\n")
    before = shadow_template.key(tmp_path, versions)
    (package / "models" / "users.py").write_text("")
    assert shadow_template.key(tmp_path, versions) != before
