"""A secret in a file of its own: whatever it is, it arrives, from one place only, and is never shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.config.errors import ConfigError
from infra.config.secret import Secret
from infra.config.secret_file import file_key
from infra.config.settings import Settings, key_of
from infra.config.urls import DatabaseUrl
from tests.kit.availability import NO_FILE

SECRETS = {key_of(setting): setting for setting in fields(Settings) if setting.metadata["secret"]}
MARK = "hunter2"
# What a password can hold, and what no editor takes for its own.
TEXT = st.text(st.characters(exclude_characters="\0\r\n\ufeff", exclude_categories=["Cs"]), min_size=1, max_size=30)
ENDS = st.sampled_from(["", "\n", "\r\n", "\n\n"])
LEADS = st.sampled_from([b"", b"\xef\xbb\xbf"])


@contextmanager
def secret_file(content: bytes) -> Iterator[Path]:
    """Write a secret into a file."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "secret")
        path.write_bytes(content)
        yield path


def refused(environ: dict[str, str], env_file: Path = NO_FILE) -> str:
    """Return why settings are refused."""
    with pytest.raises(ConfigError) as error:
        Settings.load(env_file, environ)
    return str(error.value)


@pytest.mark.parametrize("key", SECRETS)
@given(text=TEXT, end=ENDS, lead=LEADS)
def test_a_secret_in_a_file_is_the_same_as_one_in_a_variable(key: str, text: str, end: str, lead: bytes) -> None:
    """Any text of any secret arrives without the line ends and the byte-order mark of an editor."""
    if not key.endswith("PASSWORD"):
        text = DatabaseUrl("app_user", Secret(text), "127.0.0.1", 5432, "app").libpq()
    with secret_file(lead + f"{text}{end}".encode()) as path:
        from_file = Settings.load(NO_FILE, {file_key(key): str(path)})
    assert from_file == Settings.load(NO_FILE, {key: text})
    assert from_file != Settings.load(NO_FILE, {})


@given(content=st.binary(max_size=60), key=st.sampled_from(sorted(SECRETS)))
def test_whatever_a_file_holds_is_read_or_refused_without_being_shown(content: bytes, key: str) -> None:
    """Any bytes are a secret or an error that names the key, and no text shows them."""
    with secret_file(MARK.encode() + content) as path:
        try:
            shown = repr(Settings.load(NO_FILE, {file_key(key): str(path)}))
        except ConfigError as error:
            shown = str(error)
            assert file_key(key) in shown
    assert MARK not in shown


@pytest.mark.parametrize("key", SECRETS)
def test_a_secret_given_twice_in_one_place_is_refused(key: str, tmp_path: Path) -> None:
    """Text and file of the same secret in the environment, or in `.env`, are an error that names both."""
    value = MARK if key.endswith("PASSWORD") else f"postgresql://app_user:{MARK}@127.0.0.1/app"
    env_file, secret = tmp_path / ".env", tmp_path / "secret"
    secret.write_text(value)
    env_file.write_text(f"{key}={value}\n{file_key(key)}={secret}\n")
    for message in (refused({key: value, file_key(key): str(secret)}), refused({}, env_file)):
        assert f"{key} " in message
        assert f"{file_key(key)} " in message
        assert MARK not in message


def test_the_environment_wins_over_the_file_in_either_form(tmp_path: Path) -> None:
    """A secret of the environment, as text or as a file, stands against one of `.env` in either form."""
    in_file, secret = tmp_path / ".env", tmp_path / "secret"
    secret.write_text("from a file\n")
    for line in ("REDIS_PASSWORD=other", "REDIS_PASSWORD_FILE=/nowhere"):
        in_file.write_text(f"{line}\n")
        from_file = Settings.load(in_file, {"REDIS_PASSWORD_FILE": str(secret)})
        from_text = Settings.load(in_file, {"REDIS_PASSWORD": "as text"})
        assert from_file.redis_password.reveal() == "from a file"
        assert from_text.redis_password.reveal() == "as text"


def test_an_empty_key_is_as_none_at_all(tmp_path: Path) -> None:
    """A list of all keys, most of them empty, may give each secret in one of its forms."""
    secret, url = tmp_path / "secret", "postgresql://app_user@127.0.0.1/app"
    secret.write_text(url)
    by_file = Settings.load(NO_FILE, {"DATABASE_URL": "", "DATABASE_URL_FILE": str(secret)})
    by_text = Settings.load(NO_FILE, {"DATABASE_URL": url, "DATABASE_URL_FILE": ""})
    assert str(by_file.database_url) == str(by_text.database_url) == str(DatabaseUrl.parse(url))


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff", b"two\nlines"])
def test_a_file_without_a_secret_is_refused(content: bytes | None, tmp_path: Path) -> None:
    """No file, an empty one and one that is no text name the key; an empty URL would mean the local stack.

    The kind: a mount that is not there yet, is a folder, or was written as something else.
    """
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    for key in ("DATABASE_URL", "REDIS_PASSWORD"):
        assert file_key(key) in refused({file_key(key): str(path)})
        assert file_key(key) in refused({file_key(key): str(tmp_path)})


@pytest.mark.parametrize("given_by_mistake", [MARK, f"postgresql://u:{MARK}@h/d", f"/{MARK}", f"~/{MARK}"])
def test_a_secret_in_the_place_of_its_file_is_not_shown(given_by_mistake: str) -> None:
    """Who writes the secret itself where its file is meant does not find it in a log."""
    message = refused({"DATABASE_URL_FILE": given_by_mistake})
    assert "DATABASE_URL_FILE in the environment" in message
    assert MARK not in message


def test_a_relative_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a path means does not depend on the folder that a command happens to run in."""
    (tmp_path / "secret").write_text(MARK)
    monkeypatch.chdir(tmp_path)
    assert "absolute" in refused({"REDIS_PASSWORD_FILE": "secret"})


def test_only_secrets_are_read_from_files(tmp_path: Path) -> None:
    """What is no secret has no second form: POSTGRES_PORT_FILE is no setting."""
    path = tmp_path / "port"
    path.write_text("5555")
    assert Settings.load(NO_FILE, {"POSTGRES_PORT_FILE": str(path)}) == Settings.load(NO_FILE, {})
