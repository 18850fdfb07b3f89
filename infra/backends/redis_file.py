"""Whether Redis would load its append-only file: read as Redis reads it, without starting one.

Source: Redis 7's aof.c, `loadSingleAppendOnlyFile` and `aofLoadManifestFromFile`. A file that is cut short is loaded
(the setting aof-load-truncated); other bytes where a command should begin, as the zeros of a power cut, are not.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from infra.backends.data_directory import APPEND_ONLY
from infra.config.errors import StackError
from infra.config.identity import Service

_Open = Callable[[str], AbstractContextManager[BinaryIO | None]]
MANIFEST = APPEND_ONLY[0]
_FILE = re.compile(r"file (\S+) seq \d+ type ([bhi])")
_COUNT = re.compile(rb"([*$])(\d{1,10})\r\n")
_MAGIC = (b"REDIS", b"VALKEY")  # rdb.c of each
_LONGEST_MAGIC = max(map(len, _MAGIC))
_VERSIONED = 9  # bytes: REDIS0011 or VALKEY080
_LONGEST_LINE = 64 * 1024  # bytes; an annotation
_CHUNK = 1024 * 1024  # bytes


def refuse_damaged(where: str, open_file: _Open) -> None:
    """Refuse an append-only file of several parts that Redis would not load; `open_file` gives a file of its data.

    Raises:
        StackError: names the part, and the commands that repair it or give Redis's data up alone.
    """
    with open_file(MANIFEST) as manifest:
        if manifest is None:
            return
        lines = manifest.read().decode(errors="replace").splitlines()
    folder = MANIFEST.rpartition("/")[0]
    for name, problem in _problems(lines, folder, open_file):
        raise StackError(
            f"Redis would not load its append-only file in {where}: {name} {problem}. That is what a power cut or a "
            f"full disk leaves. On a copy of the data, `redis-check-aof --fix {MANIFEST}` (of the package redis-tools) "
            "keeps what comes before the damage; `invoke down --volumes --service redis` gives up Redis's data alone, "
            "and `invoke up` starts it empty.",
            service=Service.REDIS,
        )


def snapshot_magic(open_file: _Open) -> bytes:
    """Return the first bytes of the snapshot that the append-only file begins with, empty where there is none."""
    with open_file(MANIFEST) as manifest:
        lines = manifest.read().decode(errors="replace").splitlines() if manifest else []
    bases = [found[1] for line in lines if (found := _FILE.match(line)) and found[2] == "b"]
    for name in bases:
        with open_file(f"{MANIFEST.rpartition('/')[0]}/{name}") as snapshot:
            return snapshot.read(_VERSIONED) if snapshot and name.endswith(".rdb") else b""
    return b""


def _problems(lines: list[str], folder: str, open_file: _Open) -> Iterator[tuple[str, str]]:
    """Yield each part that Redis would not load, and why."""
    parts = [found for line in lines if (found := _FILE.match(line))]
    if len(parts) != len([line for line in lines if not line.startswith("#")]) or not parts:
        yield MANIFEST, "does not name its parts"
    for found in parts:
        name, kind = f"{folder}/{found[1]}", found[2]
        if kind == "h":  # kept for history, and not loaded
            continue
        with open_file(name) as part:
            if part is None:
                yield name, "is missing"
            elif name.endswith(".rdb"):
                if not part.read(_LONGEST_MAGIC).startswith(_MAGIC):
                    yield name, "does not begin as a snapshot does"
            elif (offset := damage(part)) is not None:
                yield name, f"holds no command at byte {offset}"


def damage(commands: BinaryIO) -> int | None:
    """Return at which byte something else stands than the command that should; None where all would be loaded."""
    begin = 0
    while line := commands.readline(_LONGEST_LINE):
        size = len(line)
        if not line.startswith(b"#"):
            count = _COUNT.fullmatch(line)
            if count is None or count[1] != b"*" or int(count[2]) == 0:
                return None if line.startswith(b"*") and not line.endswith(b"\n") else begin
            for _ in range(int(count[2])):
                taken = _skip_word(commands)
                if taken <= 0:
                    return None if taken == 0 else begin
                size += taken
        begin += size
    return None


def _skip_word(commands: BinaryIO) -> int:
    """Read a word and return its size in bytes; 0 where the file is cut short within it, -1 where there is none."""
    line = commands.readline(_LONGEST_LINE)
    length = _COUNT.fullmatch(line)
    if length is None or length[1] != b"$":
        return 0 if line[:1] in {b"", b"$"} and not line.endswith(b"\n") else -1
    left = int(length[2]) + len(b"\r\n")
    while left:
        chunk = commands.read(min(left, _CHUNK))
        if not chunk:
            return 0
        left -= len(chunk)
    return len(line) + int(length[2]) + len(b"\r\n")
