"""The `.env` of a checkout: whether it is there, who may read it, and whether its keys are settings."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from shlex import quote

from infra.commands.doctor.findings import Finding, failed, ok, warn
from infra.config.errors import ConfigError
from infra.config.secret_file import file_key
from infra.config.settings import Settings, key_of, read_env_file, setting_keys

KEYS = setting_keys()
_ALIKE = 0.8


def examine_env_file(checkout: Path) -> Iterator[Finding]:
    """Look at `.env` without showing a value; a line that cannot be read is for `settings_of` to say."""
    path = checkout / ".env"
    if not os.path.lexists(path):
        yield _missing(checkout)
        return
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
    yield judged_mode(path, mode)
    with suppress(ConfigError):
        lines = read_env_file(path)
        for key, meant in misspelt(lines, KEYS).items():
            yield warn(
                ".env", f"{path}:{lines[key][0]} sets {key}, which is no setting", f"Is {meant} meant? Correct the key"
            )


def judged_mode(path: Path, mode: int) -> Finding:
    """Judge who may read the passwords."""
    if mode & 0o077:
        found = f"{path} has mode {mode:04o}, so others may read its passwords"
        return warn(".env", found, f"chmod 600 {quote(str(path))}")
    return ok(".env", f"{path} (mode {mode:04o})")


def misspelt(keys: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return the keys that are no setting but look like one, each with the one it looks like."""
    names = tuple(known)
    alike = {key: get_close_matches(key.upper(), names, 1, _ALIKE) for key in keys if key not in names}
    return {key: matches[0] for key, matches in alike.items() if matches}


def settings_of(checkout: Path) -> Settings:
    """Return the settings that `up` would have: without a `.env`, those of the one that it would write.

    Raises:
        ConfigError: a line or a value cannot be used.
    """
    path = checkout / ".env"
    if os.path.lexists(path):
        return Settings.load(path)
    generated = (key_of(setting) for setting in fields(Settings) if setting.metadata["generated"])
    to_be_generated = {key: "to-be-generated" for key in generated if not os.environ.get(file_key(key))}
    return Settings.load(checkout / ".env.example", to_be_generated | os.environ)


def _missing(checkout: Path) -> Finding:
    if os.access(checkout, os.W_OK):
        return ok(".env", "there is none; `invoke up` writes it with generated passwords (mode 0600)")
    error = ConfigError(
        f"There is no .env, and {checkout} is not writable, so that `invoke up` cannot write it. Make the folder "
        "writable, or put a .env there made from .env.example."
    )
    return failed(".env", error)
