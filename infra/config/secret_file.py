"""Secrets in files of their own, as an orchestrator mounts them: KEY_FILE names the file whose content is KEY."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from infra.config.errors import ConfigError


class Found(NamedTuple):
    """The text of a setting, and where it was found: at a line of a file, or in the environment.

    `through` is the key whose file the text is from, empty where it stands at that place itself.
    """

    text: str
    file: Path | None = None
    line: int | None = None
    through: str = ""

    @property
    def where(self) -> str:
        """The place as an error says it, such as "at .env:3"."""
        place = f"at {self.file}:{self.line}" if self.file else "in the environment"
        return f"in the file that {self.through} {place} names" if self.through else place


def file_key(key: str) -> str:
    """Return the key that names the file in which the secret `key` is."""
    return f"{key}_FILE"


def find_secret(key: str, source: Mapping[str, Found]) -> Found | None:
    """Return a secret that one source gives, as text or as a file; None where it gives neither.

    An empty KEY_FILE names no file, and an empty KEY beside a KEY_FILE is not given: a list of all settings may have
    both.

    Raises:
        ConfigError: both are given, or the file cannot be used; names the keys, never a value.
    """
    named, direct = source.get(file_key(key)), source.get(key)
    if named is None or not named.text:
        return direct
    if direct is not None and direct.text:
        raise ConfigError(
            f"{key} {direct.where} and {file_key(key)} {named.where} are both set. Remove one of them and run the "
            "command again.",
            setting=key,
            file=named.file,
            line=named.line,
        )
    try:
        return named._replace(text=_content(Path(named.text)), through=file_key(key))
    except (OSError, ValueError) as error:
        # What it names is not repeated: it may be the secret itself, given by mistake.
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"The file that {file_key(key)} {named.where} names cannot be used: {reason}. It is the absolute path of a "
            f"file that this user can read and that holds {key} alone.",
            setting=file_key(key),
            file=named.file,
            line=named.line,
        ) from None


def _content(path: Path) -> str:
    """Return the text of a file without the line ends that editors and `echo` add.

    An empty file is refused: an empty URL would mean the local stack.
    """
    if not path.is_absolute():
        raise ValueError("it is no absolute path")
    try:
        text = path.read_bytes().decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if not text:
        raise ValueError("it is empty")
    return text
