import os
import subprocess
import sys
import time
from importlib.util import cache_from_source
from pathlib import Path
from shutil import rmtree

import pytest

from schema.migration.files import Migrations
from schema.migration.generate.branches import merge
from tests.ground.unit.test_heads import MAKO
from tests.ground.unit.test_migrate_input import checkout


@pytest.mark.parametrize(("environ", "left"), [({}, True), ({"PYTHONDONTWRITEBYTECODE": "1"}, False)])
def test_a_command_leaves_bytecode_for_the_next(environ: dict[str, str], left: bool, copy: Path) -> None:
    """Invoke would keep Python from it; where the environment does, none is left. No group of commands goes without."""
    for folder in copy.rglob("__pycache__"):
        rmtree(folder)
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-m", "invoke", "--list"], cwd=copy, env=kept | environ, check=True)
    groups = [path for path in copy.glob("infra/commands/[a-z]*.py") if "@command" in path.read_text()]
    files = [copy / "infra" / "config" / "settings.py", *groups]
    assert {Path(cache_from_source(str(path))).exists() for path in files} == {left}


@pytest.mark.parametrize("ago", [0, 60])
def test_a_migration_changed_twice_in_a_second_is_run_as_it_stands(
    ago: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytecode is written only of a file whose next change Python can tell by its time."""
    file = checkout(tmp_path, r_0001_a=None) / "versions" / "0001_a.py"
    changed = time.time() - ago
    os.utime(file, (changed, changed))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert Migrations.load(tmp_path).head == "0001"
    assert Path(cache_from_source(str(file))).exists() is bool(ago)
    file.write_text(file.read_text().replace("0001", "0002"))
    if not ago:
        os.utime(file, (changed, changed))
    assert Migrations.load(tmp_path).head == "0002"


def test_of_a_migration_just_written_there_is_no_bytecode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be edited in the same second, also where all others are old."""
    (tmp_path / "script.py.mako").write_text(MAKO.read_text())
    folder = checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0003_c="0001")
    for file in (folder / "versions").glob("*.py"):
        os.utime(file, (0, 0))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert [Path(cache_from_source(str(path))).exists() for path in (*merge(folder, ""), file)] == [False, True]
