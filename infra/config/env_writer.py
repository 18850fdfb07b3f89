"""Change values in a `.env` that is in use, whole or not at all."""

import os
import tempfile
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from infra.config.errors import ConfigError

_BYTE_ORDER_MARK = "\ufeff"


def change_env_file(path: Path, values: Mapping[str, str]) -> None:
    """Set keys of a `.env` to values that need no quotes; every other byte, its mode and its owner stay.

    Whoever reads the file meanwhile reads all of the former values or all of the new ones. A key that is not there is
    added at the end.

    Raises:
        ConfigError: the file cannot be written.
    """
    from dotenv.parser import parse_stream

    target = path.resolve()
    try:
        before = target.read_bytes().decode("utf-8")
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
    replace_file(target, "".join((*parts, *(f"{key}={value}{end}" for key, value in missing.items()))))


def _before_key(line: str) -> str:
    """Return the blanks, empty lines and `export` with which the text of a setting begins."""
    rest = line.lstrip()
    return line[: len(line) - len(rest)] + ("export " if rest.startswith("export") else "")


def replace_file(target: Path, text: str) -> None:
    """Replace a file's content as one step, also where the power is cut; its mode and owner stay.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".tmp", dir=target.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
                before = target.stat()
                if (os.geteuid(), os.getegid()) != (before.st_uid, before.st_gid):
                    os.fchown(stream.fileno(), before.st_uid, before.st_gid)
                os.fchmod(stream.fileno(), before.st_mode & 0o7777)
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(draft).replace(target)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(target, error) from None


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be written: {error.strerror}. Make it and its folder writable.")
