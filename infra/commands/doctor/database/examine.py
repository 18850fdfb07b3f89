"""Go through what the product needs of its database, from connections to the server's own state. Changes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg

from infra.commands.doctor.database.logins import APPLICATION, find_way, log_in
from infra.commands.doctor.database.questions import QUESTIONS, Question
from infra.commands.doctor.database.ways import ADMINISTRATOR, Pooling, Way, Who, judge_ways
from infra.commands.doctor.env_file import settings_of
from infra.commands.doctor.findings import Finding, Findings, Level, fail, failed, ok, warn
from infra.config.endpoints import administrator_url, database_url
from infra.config.errors import StackError
from infra.config.extensions import declared_extensions
from infra.config.identity import Project
from infra.config.settings import Role, Settings
from infra.config.urls import DatabaseUrl
from schema.admin.desired_state import DesiredState, lacking
from schema.admin.grants import owners_requirements
from schema.admin.roles import lasting_requirements
from schema.client.connection import BoundedConnection, unavailable
from schema.client.role_check import refuse_bypass
from schema.errors import DatabaseUnavailable, SchemaError

_ROLES: tuple[Who, ...] = (Role.USER, Role.OWNER, Role.MAINTENANCE, ADMINISTRATOR)
_READERS: tuple[Who, ...] = (
    ADMINISTRATOR,
    Role.MAINTENANCE,
    Role.OWNER,
    Role.USER,
)  # the one that sees most comes first

Connections = Mapping[Who, BoundedConnection]


def examine_database(checkout: Path, project: Project) -> tuple[Finding, ...]:
    """Return what was found; a failure among it keeps a command or the application from working."""
    found = Findings()
    settings = found.attempt("settings", lambda: settings_of(checkout))
    extensions = found.attempt("settings", lambda: declared_extensions(checkout))
    if settings is None or extensions is None:
        return tuple(found)
    urls = _urls(found, settings, project)
    with ExitStack() as open_connections:
        connections = _connect(found, settings, urls, open_connections)
        ways = _ways(found, settings, urls, connections)
        usable = {who: connections[who] for who, way in ways.items() if way.pooled.mode is not Pooling.STATEMENT}
        if usable:
            _examine_roles(found, settings, usable)
            _examine_server(found, settings, usable, ways, extensions)
    return tuple(found)


def _urls(found: Findings, settings: Settings, project: Project) -> dict[Who, DatabaseUrl]:
    """Return where each role is to connect; a URL that is not set keeps its role's commands alone from working."""
    urls: dict[Who, DatabaseUrl] = {}
    for who in _ROLES:
        try:
            urls[who] = (
                administrator_url(settings, project) if who == ADMINISTRATOR else database_url(settings, who, project)
            )
        except StackError as error:
            elsewhere = settings.database_url is not None
            found.add(failed(str(who), error, Level.WARN if elsewhere else Level.FAIL))
            if not elsewhere:
                break  # the stack is down, for all of them
    return urls


def _connect(
    found: Findings, settings: Settings, urls: Mapping[Who, DatabaseUrl], undo: ExitStack
) -> dict[Who, BoundedConnection]:
    """Connect as each role; a server that is away is waited for once."""
    connections: dict[Who, BoundedConnection] = {}
    away: set[tuple[str, int]] = set()
    for who, url in urls.items():
        if (url.host, url.port) in away:
            continue
        try:
            connection = _log_in(who, url, settings, urls.get(Role.USER))
        except DatabaseUnavailable as error:
            found.add(failed(str(who), error))
            if error.transient:
                away.add((url.host, url.port))
            continue
        connections[who] = undo.enter_context(connection)
        found.add(_judge_login(who, url, connection))
    return connections


def _log_in(who: Who, url: DatabaseUrl, settings: Settings, product: DatabaseUrl | None) -> BoundedConnection:
    """Connect; as the administrator to the product's database, if that one is let in."""
    if who == ADMINISTRATOR and product:
        try:
            return log_in(who, url.on(product.database), settings)
        except DatabaseUnavailable as error:
            if error.transient:
                raise
    return log_in(who, url, settings)


def _judge_login(who: Who, url: DatabaseUrl, connection: BoundedConnection) -> Finding:
    if who == Role.USER:
        try:
            refuse_bypass(connection, url)
        except SchemaError as error:
            return failed(str(who), error)
        except psycopg.Error as error:
            return failed(str(who), unavailable(url, error, lost=True))
    return ok(str(who), f"{connection.info.user} logs in to {connection.info.dbname} at {url.host}:{url.port}")


def _ways(
    found: Findings, settings: Settings, urls: Mapping[Who, DatabaseUrl], connections: Connections
) -> dict[Who, Way]:
    ways: dict[Who, Way] = {}
    for who, connection in connections.items():
        try:
            ways[who] = find_way(who, urls[who], settings, connection)
        except psycopg.Error as error:
            found.add(failed(str(who), unavailable(urls[who], error, lost=True)))
        except DatabaseUnavailable as error:
            found.add(failed(str(who), error))
    found.add(*judge_ways(tuple(ways.values())))
    return ways


def _examine_roles(found: Findings, settings: Settings, connections: Connections) -> None:
    """Compare roles, database and rights with those that bootstrap makes."""
    found.add(*_judge_states("roles", _reader(connections), lasting_requirements(settings)))
    owner = connections.get(Role.OWNER)
    if owner is None:
        found.add(warn("rights", "not looked at", f"They are seen by {Role.OWNER}: see what is said of it above"))
    else:
        found.add(*_judge_states("rights", owner, owners_requirements(owner.info.dbname)))


def _judge_states(
    subject: str, connection: BoundedConnection, requirements: Sequence[DesiredState]
) -> Iterator[Finding]:
    try:
        violated = {state.violation: state for state, _ in lacking(connection, requirements)}
    except psycopg.Error as error:
        yield fail(subject, f"not looked at: {_reason(error)}", "See to that, and run the command again")
        return
    refusable = [state for state in violated.values() if state.fallback]
    yield from (warn(subject, state.violation, state.fallback) for state in refusable)
    wrong = [state.violation for state in violated.values() if not state.fallback]
    if wrong:
        yield fail(subject, "; ".join(wrong), "`invoke bootstrap` puts that right")
    if not violated:
        yield ok(subject, "as `invoke bootstrap` makes them")


def _examine_server(
    found: Findings, settings: Settings, connections: Connections, ways: Mapping[Who, Way], extensions: Sequence[str]
) -> None:
    reader = _reader(connections)
    given = {
        "application": APPLICATION,
        "budget": settings.database_pool_budget,
        "database": reader.info.dbname,
        "extensions": list(extensions),
        "pooled": Role.USER in ways and ways[Role.USER].pooled.mode is not Pooling.NONE,
        "user": str(Role.USER),
    }
    unseen: dict[str, str] = {}
    for question in QUESTIONS:
        found.add(*_ask(reader, question, given, unseen))
    if unseen:
        what = "; ".join(f"{subject}: {reason}" for subject, reason in unseen.items())
        found.add(ok("not seen", f"as {reader.info.user}: {what}"))


def _ask(
    reader: BoundedConnection, question: Question, given: Mapping[str, object], unseen: dict[str, str]
) -> tuple[Finding, ...]:
    try:
        if reader.execute(f"SELECT {question.needs}").fetchone() != (True,):
            unseen[question.subject] = f"it takes GRANT {question.lacks}"
            return ()
        return tuple(question.judge(reader.execute(question.query, given).fetchall(), given))
    except psycopg.Error as error:
        unseen[question.subject] = _reason(error)
        return ()


def _reason(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip().rstrip(".")


def _reader(connections: Connections) -> BoundedConnection:
    """Return the connection that sees most of the product's database."""
    product = next((connections[who].info.dbname for who in _ROLES if who in connections), "")
    candidates = [connections[who] for who in _READERS if who in connections]
    return next((each for each in candidates if each.info.dbname == product), candidates[0])
