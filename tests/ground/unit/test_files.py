"""A file is written whole or not at all, and is the same file to everybody else."""

import errno
import os
import stat
from pathlib import Path

import pytest

from infra.config.files import draft_for, write_atomically
from tests.kit.full_disk import limited


def mode_of(path: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link(tmp_path: Path, there: bool) -> None:
    """The file that a symbolic link leads to gets the content, also where it does not exist yet."""
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "file", tmp_path / "link"
    link.symlink_to("elsewhere/file")
    if there:
        real.write_text("old")
    write_atomically(link, "new")
    assert (link.is_symlink(), real.is_symlink(), real.read_text()) == (True, False, "new")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_mode_and_owner_stay(tmp_path: Path, mode: int) -> None:
    """A file that is replaced keeps its mode, whatever the umask is, and its owner where that may be kept."""
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, 1234, 1235)
    before = path.stat()
    write_atomically(path, "new")
    after = path.stat()
    assert path.read_text() == "new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_the_given_mode_counts_from_the_first_byte(tmp_path: Path) -> None:
    """A secret's file is private while it is written, and afterwards, also where a public one was."""
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    with draft_for(path, mode=0o600) as draft:
        assert mode_of(draft) == 0o600
    assert mode_of(path) == 0o600


def test_a_new_file_is_as_the_umask_has_it(tmp_path: Path) -> None:
    """Without a mode and without a former file it is a file like any other."""
    (tmp_path / "other").touch()
    write_atomically(tmp_path / "file", "new")
    assert mode_of(tmp_path / "file") == mode_of(tmp_path / "other")


def test_a_disk_that_takes_half_keeps_the_former(tmp_path: Path) -> None:
    """Where the write fails in its middle the former content stands, no draft is left, and the error names the file."""
    path = tmp_path / "file"
    path.write_text("old")
    with limited(1000), pytest.raises(OSError, check=lambda error: error.errno == errno.EFBIG) as refused:
        write_atomically(path, "new" * 1000)
    assert refused.value.filename == str(path)
    assert {found.name: found.read_text() for found in tmp_path.iterdir()} == {"file": "old"}


def test_a_folder_that_is_not_there_is_told_by_the_file(tmp_path: Path) -> None:
    """The error names the file that was asked for, not the draft."""
    with pytest.raises(FileNotFoundError) as refused:
        write_atomically(tmp_path / "none" / "file", "new")
    assert refused.value.filename == str(tmp_path / "none" / "file")


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_that_ends_early_leaves_nothing(tmp_path: Path, stop: type[BaseException]) -> None:
    """Neither a file nor a draft, whatever ended it."""

    def end_early() -> None:
        with draft_for(tmp_path / "file") as draft:
            draft.write_text("half")
            raise stop

    with pytest.raises(stop):
        end_early()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("link", [True, False])
def test_what_is_not_to_be_replaced_stays(tmp_path: Path, link: bool) -> None:
    """A file, or a link that leads nowhere, that came while the block ran is an error, and is as it was."""
    path = tmp_path / "file"

    def come_too_late() -> None:
        with draft_for(path, replace=False) as draft:
            draft.write_text("new")
            if link:
                path.symlink_to("nowhere")
            else:
                path.write_text("other")

    with pytest.raises(FileExistsError) as refused:
        come_too_late()
    assert refused.value.filename == str(path)
    assert [*tmp_path.iterdir()] == [path]
    assert path.is_symlink() if link else path.read_text() == "other"
