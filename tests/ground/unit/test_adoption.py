"""Which project a checkout works on."""

from pathlib import Path

import pytest

from infra.config.errors import StackError
from infra.config.identity import Project, project_at, state_directory
from infra.stack.adoption import resolve_project
from tests.kit.errors import about


@pytest.mark.parametrize("noted", ["", "\n", "..", "shop", "../shop-12345678", "shop-12345678/..", "\0"])
def test_a_note_that_names_no_project_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: str) -> None:
    """A note that a power loss emptied, or that names a path, is no project: its state would be everybody's."""
    monkeypatch.setattr("infra.config.identity.ROOT_STATE", tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    note = state_directory(Project.of(tmp_path)) / "adopted"
    note.parent.mkdir(parents=True)
    note.write_text(noted)
    with pytest.raises(StackError, match="invoke up --adopt", check=about(file=note)):
        project_at(tmp_path)
    note.write_text("shop-12345678\n")
    assert project_at(tmp_path).id == "shop-12345678"


def test_a_damaged_record_of_another_checkout_is_reported_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's first `up` ends because some checkout of the same name has a record that cannot be read."""
    monkeypatch.setattr("infra.config.identity.ROOT_STATE", tmp_path / "state")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    checkout = tmp_path / "shop"
    damaged = state_directory(Project.of(checkout)).parent / "shop-00000000" / "state.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("")
    said: list[str] = []
    project = resolve_project(checkout, adopt=False, new=False, ask=None, say=said.append)
    assert project == Project.of(checkout)
    assert [str(damaged) in line for line in said] == [True]
    assert damaged.read_text() == ""
