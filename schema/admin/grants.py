"""What the owner grants and revokes on its database and schemas."""

from collections.abc import Iterator

from psycopg.sql import SQL, Composable, Identifier, Literal

from infra.config.settings import Role, function_schema
from schema.admin.desired_state import DesiredState, converge, otherwise
from schema.client.connection import BoundedConnection
from schema.errors import RightsError


def grant_rights(owner: BoundedConnection) -> tuple[str, ...]:
    """Make the rights on the owner's database as they are declared; return the statements that it took.

    A clone of a database has none of the rights on the database itself, so each clone needs this as well.

    Raises:
        RightsError: a right is not as declared afterwards; names which.
    """
    declared = owners_requirements(owner.info.dbname)
    with owner.transaction():
        met = converge(owner, declared)
        if met.missing:
            raise RightsError(
                f"Database {owner.info.dbname!r} at {owner.info.host}:{owner.info.port} has other rights than "
                f"declared: {'; '.join(right.violation for right in met.missing)}. {owner.info.user} must own the "
                f"database and its schemas public and {function_schema()}; an administrator can see who does with \\l "
                "and \\dn+.",
                violations=tuple(right.violation for right in met.missing),
            )
    return met.made


def owners_requirements(database: str) -> tuple[DesiredState, ...]:
    """Return what must hold in the database, for its owner to make."""
    schema = DesiredState(
        f"{Role.OWNER} has no schema {function_schema()} to create in",
        otherwise(
            # Of a schema that is not there it is NULL: not held.
            SQL("has_schema_privilege(to_regnamespace({}), 'CREATE')").format(Literal(function_schema())),
            SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(function_schema())),
        ),
    )
    return (schema, *_on_database(database), *_on_schema("public"), *_on_schema(function_schema()))


def _on_database(database: str) -> Iterator[DesiredState]:
    question = SQL("has_database_privilege({}, current_database(), {})")
    for grantee, name in _others():
        yield DesiredState(
            f"{grantee} may create or use temporary tables in it",
            otherwise(
                SQL("NOT ") + question.format(Literal(grantee), Literal("CREATE, TEMPORARY")),
                SQL("REVOKE CREATE, TEMPORARY ON DATABASE {} FROM {}").format(Identifier(database), name),
            ),
        )
    yield DesiredState(
        "public may connect to it",
        otherwise(
            SQL("NOT ") + question.format(Literal("public"), Literal("CONNECT")),
            SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(database)),
        ),
    )
    for role in Role:
        yield DesiredState(
            f"{role} may not connect to it",
            otherwise(
                question.format(Literal(str(role)), Literal("CONNECT")),
                SQL("GRANT CONNECT ON DATABASE {} TO {}").format(Identifier(database), Identifier(str(role))),
            ),
        )


def _on_schema(schema: str) -> Iterator[DesiredState]:
    question = SQL("has_schema_privilege({}, to_regnamespace({}), {})")
    for grantee, name in _others():
        yield DesiredState(
            f"{grantee} may create in schema {schema}",
            otherwise(
                SQL("NOT ") + question.format(Literal(grantee), Literal(schema), Literal("CREATE")),
                SQL("REVOKE CREATE ON SCHEMA {} FROM {}").format(Identifier(schema), name),
            ),
        )
    yield DesiredState(
        f"public may use schema {schema}",
        otherwise(
            SQL("NOT ") + question.format(Literal("public"), Literal(schema), Literal("USAGE")),
            SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(Identifier(schema)),
        ),
    )
    for role in (Role.USER, Role.MAINTENANCE):
        yield DesiredState(
            f"{role} may not use schema {schema}",
            otherwise(
                question.format(Literal(str(role)), Literal(schema), Literal("USAGE")),
                SQL("GRANT USAGE ON SCHEMA {} TO {}").format(Identifier(schema), Identifier(str(role))),
            ),
        )


def _others() -> Iterator[tuple[str, Composable]]:
    """Everyone but the owner: the name that has_…_privilege knows, and the one that GRANT knows."""
    yield "public", SQL("PUBLIC")
    for role in (Role.USER, Role.MAINTENANCE):
        yield str(role), Identifier(str(role))
