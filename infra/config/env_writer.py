"""Change values in a `.env` that is in use, whole or not at all."""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from infra.config.errors import ConfigError
from infra.config.files import write_atomically

_BYTE_ORDER_MARK = "\ufeff"


def change_env_file(path: Path, values: Mapping[str, str]) -> None:
    """Set keys of a `.env` to values that need no quotes; every other byte, its mode and its owner stay.

    Whoever reads the file meanwhile reads all of the former values or all of the new ones. A key that is not there is
    added at the end.

    Raises:
        ConfigError: the file cannot be written.
    """
    from dotenv.parser import parse_stream

    try:
        before = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise _unwritable(path, error) from None
    end = "\r\n" if "\r\n" in before else "\n"
    lead = _BYTE_ORDER_MARK if before.startswith(_BYTE_ORDER_MARK) else ""
    parts, missing = [lead], dict(values)
    for binding in parse_stream(StringIO(before.removeprefix(lead), newline="")):
        line, key = binding.original.string, binding.key or ""
        if key in values:
            line = f"{_before_key(line)}{key}={values[key]}{end}"
            missing.pop(key, None)
        parts.append(line)
    if missing and parts[-1] not in {"", lead} and not parts[-1].endswith("\n"):
        parts.append(end)
    added = (f"{key}={value}{end}" for key, value in missing.items())
    try:
        write_atomically(path, "".join((*parts, *added)), durable=True)
    except OSError as error:
        raise _unwritable(path, error) from None


def _before_key(line: str) -> str:
    """Return the blanks, empty lines and `export` with which the text of a setting begins."""
    rest = line.lstrip()
    return line[: len(line) - len(rest)] + ("export " if rest.startswith("export") else "")


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be written: {error.strerror}. Make it and its folder writable.", file=path)
