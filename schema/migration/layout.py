"""Lay out the source of a migration as the project's other code."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path


def laid_out(source: str, path: Path) -> str:
    """Return source as ruff lays out the file at `path`, of which nothing is read but the settings that hold there.

    Where ruff is not installed, or cannot read it, the source is returned as it is: what it says is the same.
    """
    # The program itself, where it stands beside Python: it is done before another Python has started.
    beside = shutil.which("ruff", path=str(Path(sys.executable).parent))
    if not beside and not find_spec("ruff"):
        return source
    words = [beside] if beside else [sys.executable, "-m", "ruff"]
    done = subprocess.run(
        [*words, "format", "--quiet", "--stdin-filename", str(path), "-"],
        input=source,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return done.stdout if done.returncode == 0 else source
