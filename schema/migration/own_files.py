"""Which files are the checkout's own, and which are installed."""

import os
import sys
from pathlib import Path

_STANDARD_LIBRARY = Path(os.__file__).parent


def is_own(path: str, checkout: str) -> bool:
    """Return whether a path is the checkout's own, and not of an environment that is installed inside of it."""
    return _within(path, checkout) and not _within(path, sys.prefix) and f"{os.sep}site-packages{os.sep}" not in path


def is_installed(path: Path) -> bool:
    """Return whether a path is of Python's standard library or of an installed package."""
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts) or path.is_relative_to(_STANDARD_LIBRARY)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
