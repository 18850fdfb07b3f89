"""How a role reaches its database, and what that means for the product."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Literal, NamedTuple

from infra.commands.doctor.findings import Finding, fail, ok, warn
from infra.config.settings import Role, SslMode
from infra.config.urls import DatabaseUrl

ADMINISTRATOR: Literal["administrator"] = "administrator"
Who = Role | Literal["administrator"]
"""Whoever connects: a role of the product's, or who makes them."""
_THIS_MACHINE = {"127.0.0.1", "::1", "localhost"}
_CHECKED: set[str] = {SslMode.VERIFY_CA, SslMode.VERIFY_FULL}
_OLD_TLS = {"TLSv1", "TLSv1.1", "SSLv3"}
_KEY = {Role.USER: "DATABASE_URL", Role.OWNER: "DATABASE_OWNER_URL", Role.MAINTENANCE: "DATABASE_MAINTENANCE_URL"}
_DIRECT = "Give {key} the server's own address: providers have one beside the pooler's, often on another port"
_WRITES = {
    "default_transaction_read_only": ("off", "every write is refused"),
    "session_replication_role": ("origin", "foreign keys and triggers do not work"),
}
_LONG = "a statement of a migration that takes longer is cancelled"
# What a role's sessions must begin with; each name with its value, and the consequence of another one.
_SESSION: Mapping[Who, Mapping[str, tuple[str, str]]] = {
    Role.USER: {**_WRITES, "row_security": ("on", "every query of a tenant's table is refused")},
    Role.OWNER: {**_WRITES, "statement_timeout": ("0", _LONG), "transaction_timeout": ("0", _LONG)},
}
_FATAL = {*_WRITES, "row_security"}
SESSION_SETTINGS = ("TimeZone", "DateStyle", "statement_timeout", "transaction_timeout", *_FATAL)


class Pooling(StrEnum):
    """For how long a client of a pooler keeps its server process; `none` where no pooler is in between."""

    NONE = "none"
    SESSION = "session"
    TRANSACTION = "transaction"
    STATEMENT = "statement"


class Pooled(NamedTuple):
    """What lies between.

    `prepared` says whether a statement that was prepared by protocol outlives its transaction; None where not tried.
    """

    mode: Pooling
    prepared: bool | None = None


class Tls(NamedTuple):
    """TLS as the server sees it on the connection that reaches it."""

    version: str
    cipher: str


class Way(NamedTuple):
    """How a role reaches its database.

    `encrypted` is about the connection that leaves this machine, `server_tls` about the one that reaches the server;
    with a pooler they are two. `session` has the settings of the role's session, and `asked` those that it asked for.
    """

    who: Who
    url: DatabaseUrl
    sslmode: str
    encrypted: bool
    server_tls: Tls | None
    pooled: Pooled
    session: Mapping[str, str]
    asked: Mapping[str, str]

    @property
    def key(self) -> str:
        """The setting that holds the URL."""
        return _KEY[self.who] if isinstance(self.who, Role) else "DATABASE_ADMIN_URL"


def judge_ways(ways: Sequence[Way]) -> Iterator[Finding]:
    """Judge TLS once for each address, and what lies between for each role."""
    addresses: dict[tuple[str, int, str], Way] = {}
    for way in ways:
        addresses.setdefault((way.url.host, way.url.port, way.sslmode), way)
    yield from map(judge_tls, addresses.values())
    for way in ways:
        yield from judge_pooler(way)
        if way.pooled.mode is not Pooling.STATEMENT:
            yield from judge_session(way)


def judge_tls(way: Way) -> Finding:
    """Judge whether others could read along, or answer in the server's place."""
    where, asked = f"{way.url.host}:{way.url.port}", f"sslmode {way.sslmode}"
    if not way.encrypted:
        if way.url.host in _THIS_MACHINE:
            return ok("tls", f"{where}: none ({asked}); it is this machine")
        return warn(
            "tls",
            f"{where}: none ({asked}), so rows are readable on the way",
            "Turn TLS on at the server and set DATABASE_SSLMODE=verify-full, unless the network in between is yours",
        )
    seen = _seen(way)
    if way.server_tls and way.server_tls.version in _OLD_TLS:
        return warn("tls", f"{where}: {seen}, which is no longer safe", "Set ssl_min_protocol_version at the server")
    if way.sslmode not in _CHECKED and way.url.host not in _THIS_MACHINE:
        return warn(
            "tls",
            f"{where}: {seen}, but {asked} believes whoever answers there",
            "Set DATABASE_SSLMODE=verify-full, and name the provider's CA in the URL: ?sslrootcert=FILE, or "
            "?sslrootcert=system for a public one",
        )
    return ok("tls", f"{where}: {seen} ({asked})")


def _seen(way: Way) -> str:
    behind = f"{way.server_tls.version} ({way.server_tls.cipher})" if way.server_tls else "none"
    if way.pooled.mode is Pooling.NONE:
        return behind
    return f"TLS to the pooler, and from there to the server {behind}"


def judge_pooler(way: Way) -> Iterator[Finding]:
    """Judge whether the role's work can be done through what lies between."""
    mode, prepared = way.pooled
    through = f"{way.who} at {way.url.host}:{way.url.port} goes through a pooler in {mode} mode"
    direct = _DIRECT.format(key=way.key)
    if mode is Pooling.NONE:
        return
    if mode is Pooling.STATEMENT:
        yield fail("pooler", f"{through}, where there are no transactions, and so no tenant", direct)
    elif mode is Pooling.SESSION or way.who == Role.MAINTENANCE:
        yield ok("pooler", through)
    elif way.who != Role.USER:
        command = "`invoke migrate`" if way.who == Role.OWNER else "`invoke bootstrap`"
        yield fail("pooler", f"{through}: {command} holds a lock for its session, which is not kept there", direct)
    elif prepared is False:
        yield fail(
            "pooler",
            f"{through} and loses prepared statements, which psycopg makes at the fifth execution of a query",
            "Set max_prepared_statements in PgBouncer 1.21 or later, take its session mode, or give DATABASE_URL the "
            "server's own address",
        )
    else:
        kept = "prepared statements are kept" if prepared else "whether it keeps prepared statements was not seen"
        yield ok("pooler", f"{through}: a tenant is set for one transaction, which is kept; {kept}")


def judge_session(way: Way) -> Iterator[Finding]:
    """Judge the settings that the role's sessions begin with."""
    lost = {name: way.session[name] for name, value in way.asked.items() if way.session.get(name, value) != value}
    if lost and way.pooled.mode is not Pooling.NONE:
        found = ", ".join(f"{name} is {value} and not {way.asked[name]}" for name, value in lost.items())
        yield warn(
            "pooler",
            f"sessions of {way.who} at {way.url.host}:{way.url.port} do not have what they ask for: {found}",
            f"The pooler drops it: set it for the role (ALTER ROLE {way.url.user} SET …), or have it passed on",
        )
    for name, (good, consequence) in _SESSION.get(way.who, {}).items():
        if way.session.get(name, good) != good:
            yield (fail if name in _FATAL else warn)(
                "parameters",
                f"{name} is {way.session[name]} for {way.who}: {consequence}",
                f"ALTER ROLE {way.url.user} IN DATABASE {way.url.database} SET {name} = '{good}'",
            )
