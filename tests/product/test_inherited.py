"""What every product promises, of its own models and migrations; the tests stand in `tests/kit/inherited.py`."""

from tests.kit.inherited import *  # noqa: F403 - each is a test of this file
