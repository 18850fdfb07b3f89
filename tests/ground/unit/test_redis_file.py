"""Which append-only files Redis would load, by their bytes alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO

import pytest

from infra.backends.redis_file import MANIFEST, damage, refuse_damaged
from infra.config.errors import StackError

SET = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\0\r\n\0\r\n"
BASE, TAIL = "appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof"
NAMED = f"file {BASE} seq 1 type b\nfile {TAIL} seq 1 type i\n".encode()


@pytest.mark.parametrize("cut", range(1, len(SET)))
def test_a_file_that_is_cut_short_is_loaded(cut: int) -> None:
    """Wherever the last command ends too soon, Redis drops it and loads the others."""
    assert damage(BytesIO(SET + b"#TS:1700000000\r\n" + SET[:cut])) is None


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 4096, b"garbage\r\n", b"*0\r\n", b"*1\r\n+PING\r\n", SET[2:]])
def test_what_is_no_command_is_found_where_it_begins(tail: bytes) -> None:
    """Zeros or other bytes in a command's place are found, with the offset to cut the file at."""
    assert damage(BytesIO(SET + SET + tail)) == 2 * len(SET)


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({MANIFEST: b""}, "does not name its parts"),
        ({MANIFEST: b"\0\0\0\0"}, "does not name its parts"),
        ({BASE: b""}, "does not begin as a snapshot"),
        ({TAIL: None}, f"{TAIL} is missing"),
        ({TAIL: SET + b"\0\0"}, f"{TAIL} holds no command at byte {len(SET)}"),
    ],
)
def test_a_damaged_part_is_refused_with_the_ways_out(parts: dict[str, bytes | None], named: str) -> None:
    """Each part that Redis would not load is named, with the commands that repair it and that give it up alone."""
    files = {MANIFEST: NAMED, BASE: b"REDIS0011", TAIL: SET}

    @contextmanager
    def opened(name: str, changed: dict[str, bytes | None]) -> Iterator[BinaryIO | None]:
        content = (files | changed)[name if name == MANIFEST else name.rpartition("/")[2]]
        yield None if content is None else BytesIO(content)

    refuse_damaged("there", lambda name: opened(name, {}))
    with pytest.raises(StackError, match=f"{named}.*invoke down --volumes --service redis"):
        refuse_damaged("there", lambda name: opened(name, parts))
