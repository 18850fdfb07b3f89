"""Where a stack answers: URLs by role."""

from collections.abc import Mapping

from infra.config.errors import StackError
from infra.config.identity import Project, Service, project_at
from infra.config.record import Record
from infra.config.secret import Secret
from infra.config.settings import CHECKOUT, MAINTENANCE_DATABASE, Role, Settings, database_name
from infra.config.urls import DatabaseUrl

# Never "localhost": it may mean ::1, where another server may answer.
HOST = "127.0.0.1"


def admin_url(settings: Settings, ports: Mapping[Service, int]) -> DatabaseUrl:
    """Return the URL of the stack's superuser."""
    return _url(settings.postgres_user, settings.postgres_password, ports, MAINTENANCE_DATABASE)


def role_url(settings: Settings, ports: Mapping[Service, int], role: Role) -> DatabaseUrl:
    """Return the URL of one of the product's roles on a stack at these ports."""
    return _url(settings.role_login(role), settings.role_password(role), ports, database_name())


def database_url(settings: Settings, role: Role, project: Project | None = None) -> DatabaseUrl:
    """Return the URL for `role`: the one that is set, else that of the checkout's own stack.

    Raises:
        StackError: none is set and the stack is not up.
    """
    declared = settings.role_url(role)
    if declared is not None:
        return declared
    if settings.database_url is not None:
        raise StackError(
            f"DATABASE_URL names an external database, and no URL is set for {role} there. "
            f"Set {_KEYS[role]} to a URL of the same database."
        )
    return role_url(settings, _ports(project), role)


def administrator_url(settings: Settings, project: Project | None = None) -> DatabaseUrl:
    """Return the URL of who may make roles and databases: the one that is set, else the superuser's of the own stack.

    Raises:
        StackError: none is set and the database is elsewhere, or the stack is not up.
    """
    if settings.database_admin_url is not None:
        return settings.database_admin_url
    if settings.database_url is not None:
        raise StackError(
            "DATABASE_URL names an external database, and no URL is set for its administrator. Set DATABASE_ADMIN_URL "
            "to a URL of the same server."
        )
    return admin_url(settings, _ports(project))


def _ports(project: Project | None) -> Mapping[Service, int]:
    record = Record.load(project or project_at(CHECKOUT))
    if record is None:
        raise StackError("The stack of this checkout was never brought up. Run `invoke up`, or set DATABASE_URL.")
    if not record.proven:
        raise StackError("The stack of this checkout is down. Run `invoke up`.")
    return record.ports


_KEYS = {
    Role.USER: "DATABASE_URL",
    Role.OWNER: "DATABASE_OWNER_URL",
    Role.MAINTENANCE: "DATABASE_MAINTENANCE_URL",
}


def redis_url(ports: Mapping[Service, int]) -> str:
    """Return the URL of Redis, without its password."""
    return f"redis://{HOST}:{ports[Service.REDIS]}/0"


def _url(user: str, password: Secret, ports: Mapping[Service, int], database: str) -> DatabaseUrl:
    return DatabaseUrl(user=user, password=password, host=HOST, port=ports[Service.POSTGRES], database=database)
