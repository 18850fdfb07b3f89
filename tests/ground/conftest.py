"""What binds the ground's tests alone: its own fixtures, and that a warning or an unknown marker is an error."""

import pytest

from tests.kit.database import tenant
from tests.kit.stack import stack

__all__ = ["stack", "tenant"]  # in the place of those that the product's tests have under these names

_FORMER = "default:.*is removed in the next version:DeprecationWarning"  # former names still work


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have a warning fail each test here, unless the test says otherwise, and refuse markers that nobody declared."""
    item.own_markers[:0] = [pytest.mark.filterwarnings("error", _FORMER).mark]
    known = {line.partition(":")[0].partition("(")[0].strip() for line in item.config.getini("markers")}
    unknown = {mark.name for mark in item.iter_markers()} - known
    if unknown:
        raise pytest.UsageError(f"{item.nodeid}: unknown marker {', '.join(sorted(unknown))}")
