"""Prepare a server, local or managed, for the product: at once, or as a script for its administrator."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from psycopg.sql import SQL, Literal

from infra.config.errors import ConfigError
from infra.config.extensions import TEMPLATE, declared_extensions
from infra.config.settings import MAINTENANCE_DATABASE, AppEnv, Role, Settings, database_name, logins
from infra.config.urls import DatabaseUrl
from schema.admin.desired_state import DesiredState, Met, otherwise
from schema.admin.extensions import (
    extension_requirements,
    template_comment,
    template_creation,
    template_mark,
    template_note,
)
from schema.admin.grants import owners_requirements
from schema.admin.roles import LOCK, administrators_requirements, ensure, password_statement


def bootstrap(admin: DatabaseUrl, settings: Settings) -> Met:
    """Make roles, database and rights on the administrator's server, and see that they hold.

    Raises:
        As `schema.admin.roles.ensure`.
        ConfigError: a role's URL names another role.
    """
    return ensure(admin, with_passwords_of_urls(settings))


def script(settings: Settings, extensions: Sequence[str] | None = None) -> str:
    """Return what `bootstrap` does as a script for psql: idempotent, under the same lock, verified at its end.

    The extensions are those of pyproject.toml unless given.

    Passwords are given as SCRAM verifiers; a role without one in the settings is asked for by psql.

    Raises:
        ConfigError: a role's URL names another role.
    """
    extensions = declared_extensions() if extensions is None else extensions
    return "\n".join(_lines(with_passwords_of_urls(settings), extensions)) + "\n"


def with_passwords_of_urls(settings: Settings) -> Settings:
    """Return the settings with each role's login and password from its URL, where one is set.

    Raises:
        ConfigError: a role's URL names another role.
    """
    for role in Role:
        url = settings.role_url(role)
        if url is not None and url.user not in logins(role):
            raise ConfigError(
                f"The URL of {role} names the role {url.user}. Migrations grant rights to {role} by this name: correct "
                "the URL in .env or the environment."
            )
    given = {role: url for role in Role if (url := settings.role_url(role)) is not None}
    changes: dict[str, Any] = {}
    for role, url in given.items():
        changes[f"app_{role.name.lower()}_password"] = url.password
        changes[f"app_{role.name.lower()}_alternate"] = url.user == logins(role)[1]
    return replace(settings, **changes)


def _lines(settings: Settings, extensions: Sequence[str]) -> Iterator[str]:
    administrators, owners = administrators_requirements(settings), owners_requirements(database_name())
    yield from (
        "-- Roles, database and rights. Run it as a superuser, or as an administrator who may create roles and",
        "-- databases: psql -X -d postgres -f FILE. A second run changes nothing.",
        r"\set ON_ERROR_STOP on",
        r"\set QUIET on",
        r"\pset tuples_only on",
        f"SELECT pg_advisory_lock({LOCK}) \\g /dev/null",
    )
    for requirement in administrators:
        yield from _step(requirement)
    for role in Role:
        yield from _password(role, settings)
    yield from ("", f'\\connect "{database_name()}"', f"SELECT pg_advisory_lock({LOCK}) \\g /dev/null")
    yield from _extensions(extensions)
    yield from _verification(administrators)
    yield from ("", f"SET ROLE {Role.OWNER};")
    for requirement in owners:
        yield from _step(requirement)
    yield from _verification(owners)
    if extensions and settings.app_env is not AppEnv.PRODUCTION:
        yield from _template(extensions)


def _template(extensions: Sequence[str]) -> Iterator[str]:
    missing = otherwise(SQL("EXISTS ({})").format(template_comment(TEMPLATE)), template_creation())
    yield from ("", "-- what shadow databases are cloned from", f"\\connect {MAINTENANCE_DATABASE}")
    yield from (f"{missing.as_string()} \\gexec", f'\\connect "{TEMPLATE}"')
    yield from _extensions(extensions)
    yield f"{template_mark(template_note(extensions)).as_string()};"


def _extensions(extensions: Sequence[str]) -> Iterator[str]:
    if extensions:
        yield "SET search_path = public;"
    for requirement in extension_requirements(extensions):
        yield from _step(requirement)


def _step(requirement: DesiredState) -> Iterator[str]:
    yield from ("", f"-- where {requirement.violation}")
    if requirement.fallback:
        yield r"\set ON_ERROR_STOP off"
    yield f"{requirement.repairs.as_string()} \\gexec"
    if requirement.fallback:
        yield r"\set ON_ERROR_STOP on"


def _password(role: Role, settings: Settings) -> Iterator[str]:
    yield ""
    if settings.role_password(role):
        yield f"{password_statement(role, settings)};"
    else:
        yield f"\\password {settings.role_login(role)}"


def _verification(requirements: Sequence[DesiredState]) -> Iterator[str]:
    """Raise where something does not hold now; only warn, with what to do instead, where a server may refuse it."""
    yield from ("", "-- what does not hold now", "DO $verify$ BEGIN")
    for requirement in requirements:
        said = f"{requirement.violation}; {requirement.fallback}" if requirement.fallback else requirement.violation
        yield (
            SQL("IF EXISTS ({}) THEN RAISE {} USING MESSAGE = {}; END IF;")
            .format(requirement.repairs, SQL("WARNING" if requirement.fallback else "EXCEPTION"), Literal(said))
            .as_string()
        )
    yield "END $verify$;"
