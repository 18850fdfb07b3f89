"""What a server's answers about itself mean for the product."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra.commands.doctor.findings import Finding, fail, ok, warn
from infra.config.versions import POSTGRES_VERSIONS, listed

Rows = Sequence[tuple[Any, ...]]
Given = Mapping[str, Any]

# PostgreSQL stops taking writes 3 million before 2^31 (manual, 24.1.5); autovacuum begins at 200 million.
_OLD, _TOO_OLD = 1_000_000_000, 2_000_000_000
_MUCH_WAL = 10**9
_LONG_LAG = 60  # seconds
_RISKS = {
    "autovacuum": ("on", "tables and their indexes grow, and transaction ids run out"),
    "track_counts": ("on", "autovacuum does not see what changed, and tables grow"),
    "fsync": ("on", "a crash of the machine loses the data"),
    "full_page_writes": ("on", "a crash of the machine can damage pages for good"),
    "zero_damaged_pages": ("off", "damaged pages are emptied, and their rows are lost, without an error"),
}


def judge_server(rows: Rows, _: Given) -> Iterator[Finding]:
    """Judge version, encoding and whether it takes writes."""
    major, version, standby, encoding, database, collation = rows[0]
    if major in POSTGRES_VERSIONS:
        yield ok("server", f"PostgreSQL {version}, database {database}")
    else:
        remedy = "Upgrade it, or name another server" if major < min(POSTGRES_VERSIONS) else "Take another server"
        yield fail("server", f"PostgreSQL {version}: {listed(POSTGRES_VERSIONS)} are tried", remedy)
    if standby:
        yield fail("server", "it is a standby, which takes no writes", "Name the primary in the URLs")
    if encoding != "UTF8":
        yield fail(
            "server", f"database {database} has the encoding {encoding}", "Dump it, make it again as UTF8, and restore"
        )
    if collation:
        yield warn(
            "server",
            f"database {database} was made with another version of its collation, so indexes on texts may miss rows",
            f"REINDEX DATABASE {database}, then ALTER DATABASE {database} REFRESH COLLATION VERSION",
        )


def judge_extensions(rows: Rows, _: Given) -> Iterator[Finding]:
    """Judge each declared extension: offered, made, of the version that the server has."""
    for name, offered, installed, by_owner in rows:
        if installed is None and offered is None:
            yield fail(
                "extensions",
                f"the server does not offer {name}, which pyproject.toml declares",
                "Install it there, or allow it in the provider's settings, as azure.extensions",
            )
        elif installed is None:
            trusted = "`invoke bootstrap` makes it"
            untrusted = (
                "Have a superuser make it, or the provider allow it to the administrator who runs `invoke bootstrap`"
            )
            yield fail("extensions", f"{name} {offered} is offered and not made", trusted if by_owner else untrusted)
        elif installed != offered:
            update = f'ALTER EXTENSION "{name}" UPDATE'
            yield warn("extensions", f"{name} is {installed}, and the server has {offered}", update)
        else:
            yield ok("extensions", f"{name} {installed}")


def judge_server_parameters(rows: Rows, _: Given) -> Iterator[Finding]:
    """Judge what the server is set to where that risks the product's data."""
    for name, setting, source in rows:
        good, risk = _RISKS[name]
        if setting != good:
            place = (
                "on the server's command line" if source == "command line" else "by ALTER SYSTEM, or at the provider"
            )
            yield warn("parameters", f"{name} is {setting}: {risk}", f"Set {name} = {good} {place}")


def judge_connections(rows: Rows, given: Given) -> Iterator[Finding]:
    """Judge whether the application's budget can be filled."""
    most, reserved, others, of_role, of_database = rows[0]
    budget = given["budget"]
    account = f"max_connections {most}, {reserved} reserved, {others} in use by others"
    limits = {
        account: most - reserved - others,
        f"ALTER ROLE {given['user']} CONNECTION LIMIT": of_role,
        f"ALTER DATABASE {given['database']} CONNECTION LIMIT": of_database,
    }
    reason, left = min(((why, limit) for why, limit in limits.items() if limit >= 0), key=lambda pair: pair[1])
    if given["pooled"]:
        yield ok("connections", f"{account}; the pooler shares them out, and its own limits are not visible by SQL")
    elif budget <= left:
        yield ok("connections", f"DATABASE_POOL_BUDGET {budget}, and {left} can be had ({account})")
    else:
        yield warn(
            "connections",
            f"DATABASE_POOL_BUDGET {budget}, but {left} can be had ({reason})",
            f"Set DATABASE_POOL_BUDGET to {max(left, 1)} or less, raise that limit, or put a pooler in between",
        )


def judge_size(rows: Rows, _: Given) -> Iterator[Finding]:
    """Name the database's size."""
    yield ok(
        "disk",
        f"the database takes {_megabytes(rows[0][0])}; how much room is left is not visible by SQL: see the provider's "
        "figures, or df on the server",
    )


def judge_wal(rows: Rows, _: Given) -> Iterator[Finding]:
    """Name what the write-ahead log takes."""
    yield ok("disk", f"the write-ahead log takes {_megabytes(rows[0][0] or 0)}")


def judge_slots(rows: Rows, _: Given) -> Iterator[Finding]:
    """Judge slots that hold the write-ahead log back, until the disk is full."""
    for name, active, status, held in rows:
        drop = f"SELECT pg_drop_replication_slot('{name}') if nothing needs it any more"
        if status == "lost":
            yield warn("slots", f"slot {name} has lost what it needs", f"Make its standby again, or {drop}")
        elif not active and (held or 0) > _MUCH_WAL:
            found = f"slot {name} is not in use and holds {_megabytes(held)} of the write-ahead log"
            yield warn("slots", found, f"Start its reader, or {drop}: the disk runs full otherwise")


def judge_standbys(rows: Rows, _: Given) -> Iterator[Finding]:
    """Judge how far standbys are behind."""
    for name, behind, seconds in rows:
        text = f"standby {name} is {_megabytes(behind or 0)} and {seconds or 0:.0f} s behind"
        if (behind or 0) > _MUCH_WAL or (seconds or 0) > _LONG_LAG:
            yield warn(
                "standbys", text, "What is read there is old: look at its load, its network and its long queries"
            )
        else:
            yield ok("standbys", text)


def judge_transaction_ids(rows: Rows, _: Given) -> Iterator[Finding]:
    """Judge how close the server is to taking no writes for want of transaction ids."""
    name, age, multi = rows[0]
    oldest = max(age, multi)
    found = f"database {name} is {oldest / 1e6:.0f} million transactions old, and at 2147 million writes stop"
    remedy = f"VACUUM FREEZE in {name}, after ending long transactions and dropping slots that nobody uses"
    if oldest >= _TOO_OLD:
        yield fail("transaction ids", found, remedy)
    elif oldest >= _OLD:
        yield warn("transaction ids", found, remedy)


def judge_prepared_transactions(rows: Rows, _: Given) -> Iterator[Finding]:
    """Judge transactions that were prepared and never ended."""
    for gid, seconds in rows:
        yield warn(
            "transactions",
            f"transaction {gid!r} was prepared {_duration(seconds)} ago and holds its locks",
            f"ROLLBACK PREPARED '{gid}', or COMMIT it",
        )


def judge_long_transactions(rows: Rows, _: Given) -> Iterator[Finding]:
    """Judge transactions that hold locks and keep dead rows for long."""
    for pid, user, database, state, seconds in rows:
        yield warn(
            "transactions",
            f"process {pid} of {user} in {database} is in a transaction for {_duration(seconds)} ({state})",
            f"Migrations wait for its locks: end it where it runs, or SELECT pg_terminate_backend({pid})",
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
