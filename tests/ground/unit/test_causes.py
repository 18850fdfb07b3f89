"""Which finding explains which, as the pure decision has it. The kind: one cause told dozens of times."""

import pytest

from schema.isolation.causes import explain
from schema.isolation.finding import Finding

ATTACKS = [
    Finding(f"probe-{name}", table, "rows shown", "see")
    for table in ("tenants", "users")
    for name in ("read", "count", "delete")
]
UPSERT = Finding("probe-upsert", "users.pk_users", "rows touched", "lead")
REFERENCE = Finding("probe-reference", "notes.by_whom", "rows touched", "hold")
ROW = Finding("probe-row", "users", "no row", "factory")


def found(rule: str, name: str, wrong: str = "it is wrong", fix: str = "mend it") -> Finding:
    """Return a finding."""
    return Finding(rule, name, wrong, fix)


def explained(*findings: Finding) -> dict[tuple[str, str], int]:
    """Return of each finding that stands for itself how many others it explains."""
    return {(cause.finding.rule, cause.finding.object): len(cause.explains) for cause in explain(findings)}


@pytest.mark.parametrize(
    "cause",
    [
        found("role-attribute", "BYPASSRLS OF app_user"),
        found("role-attribute", "SUPERUSER OF app_user"),
        found("role-membership", "app_user", "the role is a member of app_owner"),
        found("session-default", "ROLE app_user", "sessions start with session_replication_role = replica"),
        found("as-declared", "app.tenant_id()", "it is not as declared"),
        found("tenant-function-missing", "app.tenant_id()"),
    ],
    ids=lambda cause: f"{cause.rule} {cause.object}",
)
def test_what_concerns_every_table_explains_every_attack(cause: Finding) -> None:
    """A role that is past the policies, or their function, is one finding, wherever it stands among the others."""
    assert explained(*ATTACKS, UPSERT, cause) == {(cause.rule, cause.object): 7}


@pytest.mark.parametrize(
    "other",
    [
        found("role-attribute", "CREATEDB OF app_user"),
        found("role-attribute", "BYPASSRLS OF app_owner"),
        found("role-membership", "pg_read_all_data TO app_owner"),
        found("role-attribute", "SUPERUSER OF app_maintenance"),
        found("column-privilege", "SELECT ON COLUMN users.email"),
        found("row-security-not-forced", "users"),
    ],
    ids=lambda other: f"{other.rule} {other.object}",
)
def test_what_opens_nothing_explains_no_attack(other: Finding) -> None:
    """Attacks that nothing in the catalogue explains are one finding for each table."""
    assert explained(other, *ATTACKS) == {
        (other.rule, other.object): 0,
        ("probe-read", "tenants"): 2,
        ("probe-read", "users"): 2,
    }


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("row-security-off", "users"),
        ("policy-predicate", "users.tenant_restrict"),
        ("policy-permissive", "users.open"),
        ("owned-by-user", "table users"),
    ],
)
def test_what_concerns_a_table_explains_the_attacks_on_it(rule: str, name: str) -> None:
    """Another table's attacks stand for themselves; one whose name begins alike is another."""
    longer = found("probe-read", "users_of_old")
    assert explained(found(rule, name), *ATTACKS, UPSERT, longer) == {
        (rule, name): 4,
        ("probe-read", "tenants"): 2,
        ("probe-read", "users_of_old"): 0,
    }


def test_a_key_explains_its_own_attack() -> None:
    """Foreign keys are past every policy: only their own rule explains that one was used."""
    by_key = found("foreign-key-across-tenants", "notes.by_whom")
    off = found("row-security-off", "notes")
    assert explained(off, by_key, REFERENCE) == {
        ("row-security-off", "notes"): 0,
        ("foreign-key-across-tenants", "notes.by_whom"): 1,
    }
    assert explained(off, REFERENCE)[REFERENCE.rule, REFERENCE.object] == 0
    unique = found("unique-across-tenants", UPSERT.object)
    assert explained(unique, UPSERT) == {(unique.rule, unique.object): 1}


def test_a_right_explains_the_attack_that_it_allows() -> None:
    """TRUNCATE is held by rights alone."""
    right = found("user-privilege", "TRUNCATE ON TABLE users")
    assert explained(right, found("probe-truncate", "users"), found("probe-truncate", "tenants")) == {
        ("user-privilege", "TRUNCATE ON TABLE users"): 1,
        ("probe-truncate", "tenants"): 0,
    }


def test_a_row_that_was_not_made_is_never_explained() -> None:
    """What was not tried stays a finding of its own, and opens nothing."""
    off = found("row-security-off", "users")
    assert explained(ROW, off, found("role-attribute", "BYPASSRLS OF app_user")) == {
        ("probe-row", "users"): 0,
        ("row-security-off", "users"): 0,
        ("role-attribute", "BYPASSRLS OF app_user"): 0,
    }
    assert explained(ROW, ATTACKS[3]) == {("probe-row", "users"): 0, ("probe-read", "users"): 0}


def test_an_attribute_explains_that_the_role_may_not_serve() -> None:
    """What the role is stands for that the application connects as it; without it the connection stands for itself."""
    superuser = found("role-attribute", "SUPERUSER OF app_user", "the role app_user is SUPERUSER")
    connection = found("application-role", "app_user")
    assert explained(connection, superuser, *ATTACKS) == {("role-attribute", "SUPERUSER OF app_user"): 7}
    assert explained(connection, *ATTACKS) == {("application-role", "app_user"): 6}


def test_causes_have_causes() -> None:
    """A missing function explains the policies that fell with it, and what got through for want of them."""
    missing = found("tenant-function-missing", "app.tenant_id()")
    policy = found("policy-missing", "users.tenant_restrict")
    assert explained(policy, missing, *ATTACKS) == {("tenant-function-missing", "app.tenant_id()"): 7}


def test_the_same_said_twice_is_once() -> None:
    """What differs from the models and breaks a rule is one finding where one statement puts both right."""
    off = found("row-security-off", "users", fix="ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    drift = found("as-declared", "users", fix='ALTER TABLE "users" ENABLE ROW LEVEL SECURITY;')
    other = found("as-declared", "users", "another", fix="ALTER TABLE users ENABLE TRIGGER set_updated_at")
    assert explained(off, drift, other) == {("row-security-off", "users"): 1, ("as-declared", "users"): 0}


def test_nothing_is_dropped() -> None:
    """Every finding is there once, as a cause or as what one explains."""
    given = (*ATTACKS, UPSERT, REFERENCE, ROW, found("row-security-off", "users"))
    causes = explain(given)
    told = [cause.finding for cause in causes] + [follower for cause in causes for follower in cause.explains]
    assert sorted(map(str, told)) == sorted(map(str, given))
