"""The list of defences that `invoke mutate` removes, held against the code."""

import shutil
from pathlib import Path

import pytest

from infra.config.settings import CHECKOUT
from tests.ground.mutations.defences import REMOVALS, Removal


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: removal.defence)
def test_a_removal_finds_its_defence(removal: Removal, tmp_path: Path) -> None:
    """The text of each defence is in its file, and its removal changes that file."""
    copy = tmp_path / removal.file
    copy.parent.mkdir(parents=True)
    shutil.copy(CHECKOUT / removal.file, copy)
    removal.apply(tmp_path)
    assert copy.read_text(encoding="utf-8") != (CHECKOUT / removal.file).read_text(encoding="utf-8")
    assert all((CHECKOUT / test).exists() for test in removal.tests)
