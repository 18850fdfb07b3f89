import pytest

from schema.rls.policy import PREDICATE, expose, isolate, quoted


def test_isolation_is_enabled_and_forced() -> None:
    """The owner is bound by the policies as well."""
    assert isolate("users")[:2] == (
        'ALTER TABLE "users" ENABLE ROW LEVEL SECURITY',
        'ALTER TABLE "users" FORCE ROW LEVEL SECURITY',
    )


def test_a_permissive_and_a_restrictive_policy_cover_all_commands() -> None:
    """A later permissive policy cannot widen what the pair allows, and no command lacks a policy."""
    policies = [statement for statement in isolate("users") if statement.startswith("CREATE POLICY")]
    assert [" AS PERMISSIVE FOR ALL" in policies[0], " AS RESTRICTIVE FOR ALL" in policies[1]] == [True, True]
    for policy in policies:
        assert f"USING ({PREDICATE})" in policy
        assert f"WITH CHECK ({PREDICATE})" in policy


def test_the_predicate_is_a_sub_select() -> None:
    """The tenant is read once a statement and not once a row."""
    assert PREDICATE == "tenant_id = (SELECT app.tenant_id())"


def test_only_the_application_role_is_granted_anything() -> None:
    """TRUNCATE ignores row-level security and is never granted."""
    assert [statement for statement in isolate("users") if "GRANT" in statement] == [
        'GRANT SELECT, INSERT, UPDATE, DELETE ON "users" TO app_user'
    ]


def test_exposing_takes_the_rights_away_before_the_policies() -> None:
    """There is no moment in which the application role sees every tenant's rows."""
    assert [statement.split(" ON ")[0] for statement in expose("users")[:3]] == [
        "REVOKE SELECT, INSERT, UPDATE, DELETE",
        "DROP POLICY tenant_restrict",
        "DROP POLICY tenant_permit",
    ]


@pytest.mark.parametrize(("name", "expected"), [("order", '"order"'), ('a"b', '"a""b"'), ("Straße", '"Straße"')])
def test_table_names_are_quoted(name: str, expected: str) -> None:
    """A reserved word or a quote in a table's name does not change the statement."""
    assert quoted(name) == expected
    assert all(f" {expected}" in statement for statement in isolate(name))
