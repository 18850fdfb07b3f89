"""Which files are the checkout's own."""

import os
import sys


def is_own(path: str, checkout: str) -> bool:
    """Return whether a path is the checkout's own, and not of an environment that is installed inside of it."""
    return _within(path, checkout) and not _within(path, sys.prefix) and f"{os.sep}site-packages{os.sep}" not in path


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
