"""What the owner grants and revokes on its database and schemas. psycopg only."""

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from infra.settings import FUNCTION_SCHEMA, Role
from schema.connect import BoundedConnection
from schema.errors import RightsError


@dataclass(frozen=True, slots=True)
class _Right:
    """One right as it should be: in words, as a question to the server, and as the statement that makes it so."""

    words: str
    holds: Composable
    statement: Composed


def grant_rights(owner: BoundedConnection) -> None:
    """Make the rights on the owner's database as they are declared; changes nothing where they are.

    A clone of a database has none of the rights on the database itself, so each clone needs this as well.

    Raises:
        RightsError: a right is not as declared afterwards; names which.
    """
    declared = list(_rights(owner.info.dbname))
    with owner.transaction():
        # Twice: what a role held through PUBLIC is missing only after the first round's REVOKE.
        for _ in range(2):
            for right in _missing(owner, declared):
                owner.execute(right.statement)
        if missing := _missing(owner, declared):
            raise RightsError(
                f"Database {owner.info.dbname!r} at {owner.info.host}:{owner.info.port} has other rights than "
                f"declared: {'; '.join(right.words for right in missing)}. {owner.info.user} must own the database and "
                f"its schemas public and {FUNCTION_SCHEMA}; an administrator can see who does with \\l and \\dn+."
            )


def _missing(owner: BoundedConnection, declared: list[_Right]) -> list[_Right]:
    # has_schema_privilege of a schema that is not there is NULL: not held.
    row = owner.execute(SQL("SELECT {}").format(SQL(", ").join(right.holds for right in declared))).fetchone()
    return [right for right, holds in zip(declared, row or (), strict=True) if not holds]


def _rights(database: str) -> Iterator[_Right]:
    yield _Right(
        f"{Role.OWNER} has no schema {FUNCTION_SCHEMA} to create in",
        SQL("has_schema_privilege(to_regnamespace({}), 'CREATE')").format(Literal(FUNCTION_SCHEMA)),
        SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(FUNCTION_SCHEMA)),
    )
    yield from _on_database(database)
    for schema in ("public", FUNCTION_SCHEMA):
        yield from _on_schema(schema)


def _on_database(database: str) -> Iterator[_Right]:
    question = SQL("has_database_privilege({}, current_database(), {})")
    for grantee, name in _others():
        yield _Right(
            f"{grantee} may create or use temporary tables in it",
            SQL("NOT ") + question.format(Literal(grantee), Literal("CREATE, TEMPORARY")),
            SQL("REVOKE CREATE, TEMPORARY ON DATABASE {} FROM {}").format(Identifier(database), name),
        )
    yield _Right(
        "public may connect to it",
        SQL("NOT ") + question.format(Literal("public"), Literal("CONNECT")),
        SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(database)),
    )
    for role in Role:
        yield _Right(
            f"{role} may not connect to it",
            question.format(Literal(role), Literal("CONNECT")),
            SQL("GRANT CONNECT ON DATABASE {} TO {}").format(Identifier(database), Identifier(role)),
        )


def _on_schema(schema: str) -> Iterator[_Right]:
    question = SQL("has_schema_privilege({}, to_regnamespace({}), {})")
    for grantee, name in _others():
        yield _Right(
            f"{grantee} may create in schema {schema}",
            SQL("NOT ") + question.format(Literal(grantee), Literal(schema), Literal("CREATE")),
            SQL("REVOKE CREATE ON SCHEMA {} FROM {}").format(Identifier(schema), name),
        )
    yield _Right(
        f"public may use schema {schema}",
        SQL("NOT ") + question.format(Literal("public"), Literal(schema), Literal("USAGE")),
        SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(Identifier(schema)),
    )
    for role in (Role.USER, Role.MAINTENANCE):
        yield _Right(
            f"{role} may not use schema {schema}",
            question.format(Literal(role), Literal(schema), Literal("USAGE")),
            SQL("GRANT USAGE ON SCHEMA {} TO {}").format(Identifier(schema), Identifier(role)),
        )


def _others() -> Iterator[tuple[str, Composable]]:
    """Everyone but the owner: the name that has_…_privilege knows, and the one that GRANT knows."""
    yield "public", SQL("PUBLIC")
    for role in (Role.USER, Role.MAINTENANCE):
        yield role.value, Identifier(role)
