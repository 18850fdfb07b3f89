"""Lines that are added to a `.env` which is there already."""

import os
from collections.abc import Mapping
from pathlib import Path

from infra.config.errors import ConfigError


def append_to_env_file(path: Path, values: Mapping[str, str]) -> None:
    """Add `KEY=value` lines at the end of a file, in one write that is on the disk when this returns.

    Raises:
        ConfigError: it cannot be written.
    """
    if not values:
        return
    lines = "".join(f"{key}={value}\n" for key, value in values.items())
    try:
        with path.open("r+b") as stream:
            whole = not stream.seek(0, os.SEEK_END) or (stream.seek(-1, os.SEEK_END), stream.read(1))[1] == b"\n"
            stream.write(("" if whole else "\n").encode() + lines.encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}. Make it writable, or add values for {', '.join(values)} by "
            "hand."
        ) from None
