"""What a data folder says of itself, whatever backend it lives in, and whether `up` may use it."""

import re
from collections.abc import Collection
from typing import NamedTuple

from infra.config.errors import StackError
from infra.config.identity import Service

# Beside PG_VERSION, written after the data first served: without it the data was never finished and holds nothing.
MARKER = "groundwork.complete"
# Written into data that `up` makes, before all else; for PostgreSQL it holds the cluster's system identifier. Data that
# somebody restores over it has another identifier, and data that somebody restores in its place has no such file.
MADE = "groundwork.made"
CONTROL_FILE = "global/pg_control"
LOCK_FILE = "postmaster.pid"
ACCESS_FILE = "pg_hba.conf"
# What a file system keeps for itself; a folder that holds nothing else is empty.
LOST_AND_FOUND = "lost+found"
APPEND_ONLY = ("appendonlydir/appendonly.aof.manifest", "appendonly.aof")  # of Redis 7, and of those before it
SNAPSHOT = "dump.rdb"
_IDENTIFIER_BYTES = 8
_ADDRESS = 3  # the place of a rule's address among its words
_OWN_HOST = frozenset({"127.0.0.1/32", "127.0.0.1", "::1/128", "::1", "localhost", "samehost"})
_PROCESS_ID = re.compile(rb"[1-9][0-9]{0,8}")


class Data(NamedTuple):
    """What was read of a server's data.

    `version` is that of PostgreSQL's data, `complete` whether a server may be started on it, `other` what is there that
    `up` must neither use nor replace, and `remove` the command that removes all of it. Data that is neither complete
    nor other was made by `up` and never finished, or is an empty folder. `admit` is the command that lets connections
    in from outside the server's container.
    """

    where: str
    version: str | None
    complete: bool
    other: str = ""
    remove: str = ""
    admit: str = ""


class Content(NamedTuple):
    """The entries of PostgreSQL's data folder that tell whose it is; `entry` is any that is there, lost+found aside.

    `admits` says whether the server would let in the connections that the stack makes.
    """

    version: str | None
    marked: bool
    made: str | None
    identifier: str | None
    entry: str | None
    admits: bool = True


class RedisContent(NamedTuple):
    """The entries of Redis's data folder that tell whose it is; `entry` is any that is there, lost+found aside."""

    made: bool
    append_only: bool
    snapshot: bool
    entry: str | None


def identifier_of(control: bytes | None) -> str | None:
    """Return the system identifier in the first bytes of a control file, None where there is none.

    Source: PostgreSQL's `ControlFileData` (src/include/catalog/pg_control.h) begins with it.
    """
    identifier = (control or b"")[:_IDENTIFIER_BYTES]
    return identifier.hex() if any(identifier) else None


def server_of(lock: bytes) -> int | None:
    """Return the process id that PostgreSQL's lock file begins with, None where it names no server that serves.

    Source: `CreateLockFile` in PostgreSQL's miscinit.c; a server in single-user mode negates its id.
    """
    found = _PROCESS_ID.fullmatch(lock.partition(b"\n")[0].strip())
    return int(found[0]) if found else None


def admits_other_hosts(rules: str | None) -> bool:
    """Return whether a pg_hba.conf may let in connections from another host, as a container's are.

    The file that initdb writes does not; an image appends a rule that does when initdb has ended. A file that includes
    others counts as one that may, as does one that is missing: of that the server says itself what is wrong. Source:
    PostgreSQL manual, 21.1 The pg_hba.conf File.
    """
    if rules is None:
        return True
    lines = [line.replace('"', "").split() for line in rules.replace("\\\n", " ").splitlines()]
    includes = any(words[0].startswith("include") for words in lines if words)
    hosts = [words for words in lines if len(words) > _ADDRESS and words[0].startswith("host")]
    return includes or any(words[_ADDRESS] not in _OWN_HOST and words[1] != "replication" for words in hosts)


def judge_postgres(where: str, content: Content, *, ours: bool) -> Data:
    """Judge PostgreSQL's data; `ours` says that `up` made the volume or folder that holds it.

    Only in what is ours, data without the marker counts as unfinished; and not where it is another cluster than the one
    that `up` made there, since then somebody restored it.
    """
    version, other = content.version, ""
    whole = version is not None and content.identifier is not None
    unfinished = ours and content.made == content.identifier
    complete = version is not None and (content.marked or (whole and not unfinished))
    if complete and not content.admits:
        return Data(where, version, complete=False, other=ACCESS_FILE)
    if not complete and content.made is None and content.entry is not None and not (ours and version is not None):
        other = content.entry if version is None else f"PG_VERSION, but no {CONTROL_FILE}"
    return Data(where, version, complete, other)


def judge_redis(where: str, content: RedisContent) -> Data:
    """Judge Redis's data: an append-only file is loaded; a snapshot alone is not, and Redis would start empty.

    The stack's Redis writes no snapshot unasked, so one alone was restored, whoever made the folder or volume.
    """
    if content.snapshot and not content.append_only:
        return Data(where, None, complete=False, other=SNAPSHOT)
    if content.made or content.append_only or content.entry is None:
        return Data(where, None, complete=content.made or content.append_only)
    return Data(where, None, complete=False, other=content.entry)


def refuse_other_major(where: str, found: str, version: int) -> None:
    """Refuse data of another major version in the place of this one's: no PostgreSQL reads another's data folder.

    Source: PostgreSQL manual, 19.6 Upgrading a PostgreSQL Cluster.

    Raises:
        StackError: names both versions and the way from one to the other.
    """
    if found != str(version):
        raise StackError(
            f"The data in {where} was made by PostgreSQL {found}, and the stack runs {version}. Nothing was started or "
            f"changed. Set POSTGRES_VERSION={found} and restore the data where that version's lies, or start a "
            f"PostgreSQL {found} on it, write a dump with `pg_dumpall`, remove the data, and restore the dump with "
            "`invoke up` and `invoke psql --role admin`.",
            service=Service.POSTGRES,
        )


def refuse_only_others(version: int, others: Collection[int]) -> None:
    """Refuse to begin new data where there is data of other versions alone: it would seem lost.

    Raises:
        StackError: names the versions, and how to take the data along or give it up.
    """
    if not others:
        return
    found = max(others)
    way = (
        f"`invoke up --upgrade {version}` takes it along"
        if found < version
        else f"No PostgreSQL takes data of a later version: `invoke up` with POSTGRES_VERSION={found} serves it"
    )
    raise StackError(
        f"The data of this stack is PostgreSQL {found}'s, and POSTGRES_VERSION asks for {version}. Nothing was started "
        f"or changed. {way}; `invoke down --volumes` gives it up.",
        service=Service.POSTGRES,
    )


def refuse_other(service: Service, data: Data, version: int = 0) -> None:
    """Refuse data that `up` must neither use nor replace; `version` is that of the stack's PostgreSQL, for its data.

    Raises:
        StackError: names what is there, and what to do with it.
    """
    if service == Service.POSTGRES and data.version is not None:
        refuse_other_major(data.where, data.version, version)
    if not data.other:
        return
    if service == Service.POSTGRES and data.other == ACCESS_FILE:
        raise StackError(
            f"The data in {data.where} lets no connection in from outside its container (its {ACCESS_FILE} names this "
            "host alone). A first start that was killed before it ended, as that of `docker compose up`, leaves such "
            f"data, without a row in it: `{data.remove}` removes it. In a copy of a server that ran in no container, "
            f"`{data.admit}` lets the stack in. Nothing was started or changed; run `invoke up` again after that.",
            service=service,
        )
    if service == Service.REDIS and data.other == SNAPSHOT:
        raise StackError(
            f"In {data.where} is a snapshot of Redis ({SNAPSHOT}) and no append-only file: Redis would start empty "
            "beside it. Nothing was started or changed. Make the snapshot the base of an append-only file, with this "
            f"command where the snapshot is: {FROM_SNAPSHOT} Then run `invoke up` again.",
            service=service,
        )
    raise StackError(
        f"In {data.where} is something that `up` did not put there, and that is not the whole data of a {service} "
        f"server ({data.other}). Nothing was started or changed. Restore the data whole, or save what you need and "
        f"remove the rest with `{data.remove}`; then run `invoke up` again.",
        service=service,
    )


# Source: Redis manual, Persistence, "Append-only file": a base file may be a snapshot, and the manifest names it.
FROM_SNAPSHOT = (
    "`mkdir appendonlydir && cp dump.rdb appendonlydir/appendonly.aof.1.base.rdb && "
    "echo 'file appendonly.aof.1.base.rdb seq 1 type b' > appendonlydir/appendonly.aof.manifest`"
)
