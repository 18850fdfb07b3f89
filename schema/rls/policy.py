"""The DDL that isolates a tenant table. Pure text; standard library only."""

from infra.settings import Role

# The sub-select is evaluated once a statement and not once a row, and a cursor keeps its tenant while it is open.
PREDICATE = "tenant_id = (SELECT app.tenant_id())"
PERMIT = "tenant_permit"
RESTRICT = "tenant_restrict"


def quoted(identifier: str) -> str:
    """Quote an SQL identifier (PostgreSQL manual, 4.1.1)."""
    return '"' + identifier.replace('"', '""') + '"'


def isolate(table: str) -> tuple[str, ...]:
    """Return the statements that show a tenant its own rows of `table`, the application role alone, and no other's.

    FORCE binds the owner as well. The restrictive policy repeats the permissive one, so that no later permissive
    policy can widen what a tenant sees.
    """
    name = quoted(table)
    return (
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY",
        _policy(PERMIT, "PERMISSIVE", name),
        _policy(RESTRICT, "RESTRICTIVE", name),
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {Role.USER}",
    )


def expose(table: str) -> tuple[str, ...]:
    """Return the statements that undo `isolate`; the application role loses its rights first."""
    name = quoted(table)
    return (
        f"REVOKE SELECT, INSERT, UPDATE, DELETE ON {name} FROM {Role.USER}",
        f"DROP POLICY {RESTRICT} ON {name}",
        f"DROP POLICY {PERMIT} ON {name}",
        f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY",
        f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY",
    )


def _policy(policy: str, kind: str, table: str) -> str:
    return f"CREATE POLICY {policy} ON {table} AS {kind} FOR ALL\n  USING ({PREDICATE})\n  WITH CHECK ({PREDICATE})"
