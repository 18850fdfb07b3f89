"""Whether a role could read past row level security, asked on each new connection of the application."""

from dataclasses import dataclass
from typing import Any

import psycopg

from infra.config.settings import Role
from infra.config.urls import DatabaseUrl
from schema.errors import RoleBypassesIsolation

# A superuser is a member of every role, so the role itself comes first. Memberships count without INHERIT too: such a
# member may SET ROLE, or give itself the right to. Temporary tables are a session's own.
_QUESTION = """
    SELECT session_user::text, r.rolname::text, r.rolsuper, r.rolbypassrls, owned.name
    FROM pg_catalog.pg_roles r
    LEFT JOIN LATERAL (
        SELECT c.oid::pg_catalog.regclass::text AS name FROM pg_catalog.pg_class c
        WHERE c.relowner = r.oid AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.oid >= 16384
        ORDER BY c.relrowsecurity DESC LIMIT 1
    ) owned ON true
    WHERE (r.rolsuper OR r.rolbypassrls OR owned.name IS NOT NULL)
      AND pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')
    ORDER BY r.rolname <> session_user, NOT r.rolsuper, NOT r.rolbypassrls, r.rolname LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Bypass:
    """How a role gets past row level security: by `holder`, which is the role itself or one it is a member of."""

    role: str
    holder: str
    superuser: bool
    bypassrls: bool
    owns: str | None

    def refusal(self, url: DatabaseUrl) -> RoleBypassesIsolation:
        """Return the error that says what, where and what next."""
        if self.superuser:
            how = "a superuser"
        elif self.bypassrls:
            how = "a role with BYPASSRLS"
        else:
            how = f"the owner of table {self.owns}"
        what = how if self.holder == self.role else f"a member of {self.holder}, which is {how}"
        return RoleBypassesIsolation(
            f"{self.role} may not serve the application on database {url.database!r} at {url.host}:{url.port}: it is "
            f"{what}, whom row level security does not hold. Set DATABASE_URL to a role that owns nothing and is a "
            f"member of nothing, such as {Role.USER}; `invoke up` puts the roles of the local stack right.",
            role=self.role,
        )


def refuse_bypass(connection: psycopg.Connection[Any], url: DatabaseUrl) -> None:
    """Refuse a new connection, in autocommit, whose role could bypass row level security.

    Raises:
        RoleBypassesIsolation: the role is a superuser, has BYPASSRLS, owns a table, or is a member of such a role.
    """
    _refuse(connection.execute(_QUESTION, prepare=False).fetchone(), url)


async def refuse_bypass_async(connection: psycopg.AsyncConnection[Any], url: DatabaseUrl) -> None:
    """Refuse as `refuse_bypass` does, without blocking the event loop."""
    _refuse(await (await connection.execute(_QUESTION, prepare=False)).fetchone(), url)


def _refuse(found: tuple[Any, ...] | None, url: DatabaseUrl) -> None:
    if found is not None:
        raise Bypass(*found).refusal(url)
