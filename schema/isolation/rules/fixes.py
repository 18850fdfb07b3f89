"""How fixes are written, so that each can be pasted: statements between semicolons, for the owner or a superuser.

The owner of the database runs a fix as it stands (`invoke psql`), unless it begins with the comment `AS_SUPERUSER`:
then a superuser does (`invoke psql --role admin`).
"""

from collections.abc import Iterable

from infra.config.sql_text import quote
from schema.isolation.facts import PUBLIC, Catalogue, Grant

AS_SUPERUSER = "/* as a superuser */ "
DEFINED_IN_TEMPLATE0 = "in a database made from template0: read its definition, and restore that here as a superuser"

# Owns schema public, and every owner of a database is a member of it (PostgreSQL manual, 22.5).
_DATABASE_OWNER = "pg_database_owner"


def by_owner_of(catalogue: Catalogue, owner: str, *statements: str) -> str:
    """Return statements that change what belongs to `owner`: for a superuser, if that is not the database's owner."""
    who = "" if owner in {catalogue.owner, _DATABASE_OWNER} else AS_SUPERUSER
    return f"{who}{'; '.join(statements)}"


def on_relation(catalogue: Catalogue, name: str, *statements: str) -> str:
    """Return statements that change a relation."""
    return by_owner_of(catalogue, catalogue.relation(name).owner, *statements)


def grantee(name: str) -> str:
    """Return a grantee as GRANT and REVOKE name it."""
    return "PUBLIC" if name == PUBLIC else name


def columns(names: Iterable[str]) -> str:
    """Return names of columns that are none of SQL's, as SQL lists them."""
    return ", ".join(name if name == "tenant_id" else quote(name) for name in names)


def revoke(catalogue: Catalogue, grant: Grant, *, option_only: bool = False) -> str:
    """Return what takes one privilege back, or the right to give it on.

    What another role has given on goes only with that role's right to (PostgreSQL manual, REVOKE).
    """
    privilege = f"{grant.privilege} ({grant.field})" if grant.field else grant.privilege
    on = f"{privilege} ON {grant.target} FROM"
    given_on = [f"REVOKE GRANT OPTION FOR {on} {grantor} CASCADE" for grantor in grant.grantors]
    option = "GRANT OPTION FOR " if option_only else ""
    cascade = " CASCADE" if grant.grantable else ""
    own = f"REVOKE {option}{on} {grantee(grant.grantee)}{cascade}"
    return by_owner_of(catalogue, _who_revokes(grant), *given_on, own)


def _who_revokes(grant: Grant) -> str:
    """Return the owner of what a privilege is on; that of the system is nobody's."""
    return "" if grant.of_system else grant.owner


def revoke_all(catalogue: Catalogue, name: str, *privileges: str) -> str:
    """Return what takes these privileges on a relation, or all, from the application and PUBLIC."""
    held = [
        grant
        for grant in catalogue.grants
        if grant.target == f"TABLE {name}"
        and (grant.grantee == PUBLIC or grant.grantee in catalogue.application)
        and (not privileges or grant.privilege in privileges)
    ]
    holders = sorted({*(grantee(grant.grantee) for grant in held), *(who for grant in held for who in grant.grantors)})
    what = ", ".join(privileges) or "ALL"
    return on_relation(catalogue, name, f"REVOKE {what} ON TABLE {name} FROM {', '.join(holders)} CASCADE")
