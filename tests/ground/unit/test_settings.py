"""Settings: what is read, from where, and what is refused."""

import stat
from dataclasses import fields
from pathlib import Path

import pytest

from infra.config.errors import ConfigError
from infra.config.settings import CHECKOUT, BackendChoice, Settings, key_of, read_env_file, write_env_file
from tests.kit.availability import NO_FILE
from tests.kit.errors import about
from tests.kit.passwords import nasty, quoted


def env_file(folder: Path, content: bytes) -> Path:
    """Write a `.env`."""
    path = folder / ".env"
    path.write_bytes(content)
    return path


def test_defaults_stand_where_nothing_is_set() -> None:
    """Without file and environment every setting has its default."""
    settings = Settings.load(NO_FILE, {})
    assert (settings.stack_backend, settings.postgres_port) == (BackendChoice.AUTO, None)


def test_environment_wins_over_file(tmp_path: Path) -> None:
    """A variable of the environment stands against the line of the file."""
    path = env_file(tmp_path, b"POSTGRES_PORT=5555\nREDIS_PORT=6666\n")
    settings = Settings.load(path, {"POSTGRES_PORT": "7777"})
    assert (settings.postgres_port, settings.redis_port) == (7777, 6666)


@pytest.mark.parametrize(
    ("key", "text"), [("POSTGRES_VERSION", "15"), ("POSTGRES_VERSION", "16.1"), ("REDIS_VERSION", "6")]
)
def test_a_version_that_is_not_tested_is_refused_by_name(key: str, text: str) -> None:
    """Neither the next nor a former version is tried: the setting says which ones there are."""
    with pytest.raises(ConfigError, match=f"{key}.*one of"):
        Settings.load(NO_FILE, {key: text})


@pytest.mark.parametrize("lead", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_a_password_stands_as_it_is_written(tmp_path: Path, lead: bytes, end: bytes) -> None:
    """Quotes, dollar signs, spaces and a hash come through, whatever the file's line ends and its first bytes."""
    lines = (b"APP_ENV=test", f"POSTGRES_PASSWORD={quoted(nasty('x'))}".encode(), b"")
    assert Settings.load(env_file(tmp_path, lead + end.join(lines)), {}).postgres_password.reveal() == nasty("x")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("STACK_BACKEND=podman", "STACK_BACKEND"),
        ("POSTGRES_PORT=70000", "POSTGRES_PORT"),
        ("POSTGRES_PORT=\u0661", "POSTGRES_PORT"),
        ("STACK_START_TIMEOUT=0", "STACK_START_TIMEOUT"),
        ("DATABASE_URL=mysql://u:S3cret@h/d", "DATABASE_URL"),
        ("DATABASE_URL=postgresql://u:S3c@ret@h/d", "DATABASE_URL"),
        ("DATABASE_URL=postgresql://u:S3cret%zz@h/d", "DATABASE_URL"),
        ("DATABASE_URL=S3cret", "DATABASE_URL"),
        ("DATABASE_ECHO=maybe", "DATABASE_ECHO"),
        ("POSTGRES_USER=a'b", "POSTGRES_USER"),
    ],
)
def test_a_malformed_setting_is_named(tmp_path: Path, line: str, key: str) -> None:
    """A value that cannot be used is an error with file, line and key, and without the value's secret."""
    with pytest.raises(ConfigError) as refused:
        Settings.load(env_file(tmp_path, f"# first\n{line}\n".encode()), {})
    assert f"{key} at {tmp_path / '.env'}:2" in str(refused.value)
    assert "S3c" not in str(refused.value)


@pytest.mark.parametrize("line", ['APP_ENV="open', "APP_ENV", "= value", "two words=1"])
def test_a_line_that_is_no_setting_is_named(tmp_path: Path, line: str) -> None:
    """A line that a lenient parser would skip is an error that names it."""
    with pytest.raises(ConfigError, check=about(file=tmp_path / ".env", line=3)):
        Settings.load(env_file(tmp_path, f"LOG_LEVEL=INFO\n\n{line}\n".encode()), {})


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Latin-1 is refused in words; so is a folder."""
    with pytest.raises(ConfigError, check=about(file=tmp_path / ".env")):
        Settings.load(env_file(tmp_path, "POSTGRES_PASSWORD=é\n".encode("latin-1")), {})
    with pytest.raises(ConfigError, check=about(file=tmp_path)):
        Settings.load(tmp_path, {})


def test_the_first_env_file_is_private_and_complete(tmp_path: Path) -> None:
    """`.env` is written once, mode 0600, each generated password set and none like another."""
    (tmp_path / ".env.example").write_text((CHECKOUT / ".env.example").read_text())
    assert write_env_file(tmp_path)
    path = tmp_path / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    passwords = [text for key, (_, text) in read_env_file(path).items() if key.endswith("PASSWORD")]
    assert len(set(passwords)) == len(passwords) == 5
    assert all(len(text) >= 32 for text in passwords)
    before = path.read_text()
    assert not write_env_file(tmp_path)
    assert path.read_text() == before


def test_the_example_holds_every_setting_with_its_default() -> None:
    """`.env.example` and Settings have the same keys and defaults."""
    example = {key: text for key, (_, text) in read_env_file(CHECKOUT / ".env.example").items()}
    assert example == {key_of(setting): setting.metadata["default"] for setting in fields(Settings)}


def test_the_example_explains_every_setting() -> None:
    """Each group of settings in `.env.example` stands below a comment."""
    groups = (CHECKOUT / ".env.example").read_text().strip().split("\n\n")
    assert all(group.startswith("# ") for group in groups)


def test_settings_do_not_show_secrets() -> None:
    """Neither the settings' text nor a URL's shows a password."""
    settings = Settings.load(
        NO_FILE, {"POSTGRES_PASSWORD": "S3cret", "DATABASE_URL": "postgresql://u:S3cret@127.0.0.1/app"}
    )
    assert "S3cret" not in f"{settings!r} {settings.database_url} {settings.postgres_password}"


def test_what_is_not_utf_8_in_the_environment_is_refused() -> None:
    """Bytes of a variable that are not UTF-8 end with the key's name and nothing of the value."""
    with pytest.raises(ConfigError, check=about(setting="REDIS_PASSWORD", file=None)) as refused:
        Settings.load(NO_FILE, {"REDIS_PASSWORD": "S3cret\udce9"})
    assert "S3cret" not in str(refused.value)
