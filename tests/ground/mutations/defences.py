"""What keeps tenants apart, and how each of it is removed."""

import re
from dataclasses import dataclass
from pathlib import Path

_FIRST = "migrations/versions/0001_create_tenants_users_and_tenant_features.py"
_PREDICATE = r"tenant_id = \(SELECT app\.tenant_id\(\)\)"
_ATTACKS = "tests/ground/integration/test_isolation.py"
_CONTEXT = "tests/ground/integration/test_tenant_context.py"
_RIGHTS = "tests/ground/integration/test_rights.py"
_USERS = "tests/ground/integration/test_users_of_tenants.py"
_LEFTOVERS = "tests/ground/integration/test_leftovers.py"
_DAMAGES = "tests/ground/integration/isolation/test_rules.py"
_CHECK = "tests/ground/integration/isolation/test_check.py"


@dataclass(frozen=True, slots=True)
class Removal:
    """One defence: the pattern in a file that is its text, what stands there without it, and who must notice."""

    defence: str
    file: str
    pattern: str
    without: str
    tests: tuple[str, ...]

    def apply(self, checkout: Path) -> None:
        """Remove the defence from a copy of the project.

        Raises:
            LookupError: its text is not there, so the removal would prove nothing.
        """
        path = checkout / self.file
        text, count = re.subn(self.pattern, self.without, path.read_text(encoding="utf-8"), flags=re.DOTALL)
        if not count:
            raise LookupError(f"{self.defence}: {self.pattern!r} is not in {self.file}. Correct the pattern.")
        path.write_text(text, encoding="utf-8")


REMOVALS = (
    # What the migration writes, attacked as the application.
    Removal("ENABLE", _FIRST, r"ENABLE ROW LEVEL SECURITY", "DISABLE ROW LEVEL SECURITY", (_ATTACKS,)),
    Removal("FORCE", _FIRST, r"(?<!NO )FORCE ROW LEVEL SECURITY", "NO FORCE ROW LEVEL SECURITY", (_RIGHTS,)),
    Removal("USING", _FIRST, rf"USING \({_PREDICATE}\)", "USING (true)", (_ATTACKS,)),
    Removal("WITH CHECK", _FIRST, rf"WITH CHECK \({_PREDICATE}\)", "WITH CHECK (true)", (_ATTACKS,)),
    Removal(
        "the RESTRICTIVE twin",
        _FIRST,
        r'"tenant_restrict"(.{1,40}) AS RESTRICTIVE',
        r'"tenant_restrict"\1',
        (_ATTACKS,),
    ),
    Removal("the sub-select", _FIRST, r"\(SELECT app\.tenant_id\(\)\)", "app.tenant_id()", (_ATTACKS,)),
    Removal(
        "a STABLE tenant function",
        _FIRST,
        r"(app\.tenant_id\(\) RETURNS uuid LANGUAGE plpgsql) STABLE",
        r"\1 IMMUTABLE",
        (_CONTEXT,),
    ),
    Removal(
        "the tenant function's refusal",
        _FIRST,
        r"RAISE EXCEPTION 'app\.tenant_id is not set' USING ERRCODE = '42501'",
        "RETURN NULL",
        (_ATTACKS,),
    ),
    Removal(
        "unique keys that lead with the tenant",
        _FIRST,
        r'UniqueConstraint\("tenant_id", "email"',
        'UniqueConstraint("email"',
        (_ATTACKS,),
    ),
    Removal("no TRUNCATE", _FIRST, r"GRANT SELECT,", "GRANT TRUNCATE, SELECT,", (_RIGHTS,)),
    Removal(
        "rows of the directory for nobody",
        _FIRST,
        r'    op\.create_index\(op\.f\("ix_tenant_directory_slug"\)',
        r'    op.execute("GRANT SELECT ON tenant_directory TO app_user")\n\g<0>',
        ("tests/ground/integration/test_directory.py",),
    ),
    Removal(
        "pinned names in the directory's functions",
        _FIRST,
        r" SET search_path = pg_catalog, pg_temp",
        "",
        ("tests/ground/integration/test_directory.py",),
    ),
    # Who may do what.
    Removal(
        "membership of nothing",
        "schema/admin/roles.py",
        r"AND roleid::regrole::text <> ALL",
        "AND false AND roleid::regrole::text <> ALL",
        (_RIGHTS,),
    ),
    Removal(
        "no BYPASSRLS for the application",
        "schema/admin/roles.py",
        r"if role is Role\.MAINTENANCE:\n        words",
        "if role is not Role.OWNER:\n        words",
        (_RIGHTS,),
    ),
    Removal(
        "no temporary tables",
        "schema/admin/grants.py",
        r"REVOKE CREATE, TEMPORARY ON DATABASE",
        "GRANT TEMPORARY ON DATABASE",
        (_RIGHTS,),
    ),
    Removal(
        "an engine that refuses who bypasses",
        "schema/client/role_check.py",
        r"if found is not None:",
        "if False:",
        ("tests/ground/integration/test_bypassing_roles.py",),
    ),
    # The context of a transaction.
    Removal("SET LOCAL", "schema/client/dialect.py", r"SET LOCAL app", "SET app", (_CONTEXT,)),
    Removal("no transaction without a tenant", "schema/client/dialect.py", r"tenant is None or ", "", (_CONTEXT,)),
    Removal("no AUTOCOMMIT", "schema/client/dialect.py", r"connection\.autocommit or ", "", (_CONTEXT,)),
    Removal("no cursor that outlives its tenant", "schema/client/dialect.py", r";CLOSE ALL", "", (_CONTEXT,)),
    Removal(
        "one tenant at a time", "schema/tenancy/context.py", r"return self\.open and", "return False and", (_CONTEXT,)
    ),
    Removal("an escaped user", "schema/client/dialect.py", r"text\.replace\(\"'\", \"''\"\)", "text", (_USERS,)),
    Removal(
        "connections of one process",
        "schema/client/forks.py",
        r"os\.register_at_fork\(",
        "dict(",
        ("tests/ground/integration/test_forks.py",),
    ),
    Removal(
        "settings that end with COMMIT",
        "schema/client/leftovers.py",
        r'b"COMMIT;" \+ connection\.reset',
        'b"COMMIT"',
        (_LEFTOVERS,),
    ),
    Removal(
        "no lock that outlives its block", "schema/client/dialect.py", r"and driver\.leaves", "and False", (_LEFTOVERS,)
    ),
    Removal(
        "no reuse of psycopg's own connection",
        "schema/client/dialect.py",
        r"CONTEXT not in record\.info or driver\.autocommit",
        "False",
        (_LEFTOVERS,),
    ),
    # What models may declare.
    Removal(
        "no plain foreign key",
        "schema/tenancy/key_rules.py",
        r"if pairs\[0\] != \(TENANT, TENANT\):",
        "if False:",
        ("tests/ground/unit/test_tenancy.py",),
    ),
    Removal(
        "SET NULL of the parent alone",
        "schema/tenancy/keys.py",
        r'ondelete = f"\{ondelete\.upper\(\)\} .*?"\n',
        "ondelete = ondelete.upper()\n",
        ("tests/ground/unit/test_tenancy.py",),
    ),
    Removal(
        "a policy of one's own only narrows",
        "schema/tenancy/policies.py",
        r'return Policy\(name, "RESTRICTIVE"',
        'return Policy(name, "PERMISSIVE"',
        ("tests/ground/integration/test_custom_policies.py",),
    ),
    Removal(
        "FORCE lifted for a new key",
        "schema/migration/diff/rls/operations.py",
        r"for statement in FORCED\.drop\(table\)",
        "for statement in ()",
        ("tests/ground/integration/test_filled_tables.py",),
    ),
    Removal(
        "FORCE set again behind a new key",
        "schema/migration/diff/rls/operations.py",
        r"for statement in FORCED\.create\(table\)",
        "for statement in ()",
        ("tests/ground/integration/test_filled_tables.py",),
    ),
    # The check itself.
    Removal(
        "the roles that a login may become",
        "schema/isolation/role_queries.py",
        r"m\.member = held\.oid",
        "false",
        (_DAMAGES,),
    ),
    Removal(
        "functions as declared",
        "schema/isolation/rules/functions.py",
        r"wanted\.definition != function",
        "False and function",
        (_DAMAGES,),
    ),
    Removal(
        "functions allowed by their digest",
        "schema/isolation/declarations.py",
        r"finding\.pin != entry\.sha256",
        "False",
        ("tests/ground/unit/test_isolation.py",),
    ),
    Removal(
        "privileges of initdb alone",
        "schema/isolation/role_queries.py",
        r"WHERE i\.grantee = g\.grantee AND",
        "WHERE",
        (_DAMAGES,),
    ),
    Removal(
        "the attacks of the check",
        "schema/isolation/probe/attacks.py",
        r"\Z",
        "\n\ndef breach(*_: object) -> None:\n    return None\n",
        ("tests/ground/integration/isolation/test_probe.py",),
    ),
)
