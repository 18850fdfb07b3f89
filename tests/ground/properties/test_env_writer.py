"""A value of `.env` is changed, and nothing else of the file."""

import os
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.config.env_writer import change_env_file
from infra.config.errors import ConfigError
from infra.config.settings import read_env_file
from tests.kit.errors import about
from tests.kit.passwords import nasty, nasty_env_file, quoted

KEYS = st.sampled_from(["A", "B", "APP_USER_PASSWORD", "APP_USER_PASSWORD_2", "C"])
VALUES = st.sampled_from(["", "plain", "'one # two'", '"a\nb"', quoted(nasty("x")), "$HOME", "true"])
LINES = st.one_of(
    st.builds("{}={}".format, KEYS, VALUES),
    st.builds("export {} = {}".format, KEYS, VALUES),
    st.builds("'{}'={}".format, KEYS, VALUES),
    st.builds("  {}={}  # a comment".format, KEYS, VALUES),
    st.sampled_from(["", "# APP_USER_PASSWORD=", "   ", "# é"]),
)
NEW = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="-_"), min_size=1, max_size=40)


@given(st.lists(LINES), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\ufeff"]), st.booleans(), NEW)
def test_the_other_keys_stay_as_they_are(lines: list[str], end: str, lead: str, closed: bool, new: str) -> None:
    """Whatever a `.env` looks like: the key has the new value, any other its own, and comments are still there."""
    text = lead + end.join(lines) + (end if closed else "")
    with TemporaryDirectory() as folder:
        path = Path(folder, ".env")
        path.write_bytes(text.encode())
        before = {key: value for key, (_, value) in read_env_file(path).items()}
        change_env_file(path, {"APP_USER_PASSWORD": new, "APP_USER_ALTERNATE": "true"})
        after = {key: value for key, (_, value) in read_env_file(path).items()}
        written = path.read_bytes()
    assert after == before | {"APP_USER_PASSWORD": new, "APP_USER_ALTERNATE": "true"}
    assert written.startswith(lead.encode())
    assert written.count(b"#") >= sum(line.startswith("#") for line in lines)


def test_the_file_stays_its_owners(tmp_path: Path) -> None:
    """Mode and owner are those of before, a link still leads to the file, and no draft is left."""
    real = tmp_path / "elsewhere" / "env"
    real.parent.mkdir()
    real.write_bytes(nasty_env_file())
    real.chmod(0o640)
    (tmp_path / ".env").symlink_to(real)
    if os.geteuid() == 0:
        os.chown(real, 1234, 1234)
    before = real.stat()
    change_env_file(tmp_path / ".env", {"APP_USER_PASSWORD": "new"})
    after = real.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (tmp_path / ".env").is_symlink()
    assert [path.name for path in real.parent.iterdir()] == ["env"]
    assert read_env_file(real)["APP_USER_PASSWORD"][1] == "new"


def test_a_file_that_cannot_be_written_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the former file, and no draft beside it."""
    path = tmp_path / ".env"
    path.write_bytes(nasty_env_file())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, check=about(file=path)):
        change_env_file(path, {"APP_USER_PASSWORD": "new"})
    assert path.read_bytes() == nasty_env_file()
    assert [each.name for each in tmp_path.iterdir()] == [".env"]
