"""Where a new password goes: into the `.env` of the local stack, or into a file that an operator names."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.config.env_writer import change_env_file
from infra.config.errors import ConfigError
from infra.config.settings import Role, Settings, logins
from infra.config.urls import DatabaseUrl

Publish = Callable[[DatabaseUrl], None]


def publish_to_env_file(path: Path, role: Role, settings: Settings) -> Publish:
    """Return what writes the new login and password of `role` into `.env`.

    Raises:
        ConfigError: the password that is in use is from elsewhere, so that a new one in `.env` would have no effect.
    """
    written = Settings.load(path, {})
    name = f"APP_{role.name}"
    if (written.role_login(role), written.role_password(role)) != (
        settings.role_login(role),
        settings.role_password(role),
    ):
        raise ConfigError(
            f"{name}_PASSWORD or {name}_ALTERNATE is set in the environment, which wins over {path}: a new password "
            "there would have no effect. Unset both and run the command again. Nothing was changed.",
            setting=f"{name}_PASSWORD",
        )
    if not path.exists() or f"{name}_PASSWORD_FILE" in path.read_text(encoding="utf-8-sig"):
        raise ConfigError(
            f"{path} does not hold {name}_PASSWORD itself, so that a new one cannot be written there. Write the "
            "password in place of its file's name and run the command again. Nothing was changed.",
            setting=f"{name}_PASSWORD",
            file=path,
        )

    def publish(url: DatabaseUrl) -> None:
        alternate = "true" if url.user == logins(role)[1] else "false"
        change_env_file(path, {f"{name}_PASSWORD": url.password.reveal(), f"{name}_ALTERNATE": alternate})

    return publish


@contextmanager
def new_secret_file(path: Path) -> Iterator[Publish]:
    """Make a file for the new URL beforehand, mode 0600, and give what writes it; an empty one is removed again.

    Raises:
        ConfigError: the file is there already, or cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be made for the new URL: {error.strerror}. Name a file that is not there yet. Nothing was "
            "changed.",
            file=path,
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:

        def publish(url: DatabaseUrl) -> None:
            stream.write(f"{url.libpq()}\n")
            stream.flush()
            os.fsync(stream.fileno())

        try:
            yield publish
        except BaseException:
            path.unlink(missing_ok=True)
            raise
