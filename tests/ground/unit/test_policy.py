import pytest

from infra.config.settings import Role
from infra.config.sql_text import quote
from schema.tenancy.policies import (
    ENABLED,
    FORCED,
    PREDICATE,
    UPDATED_AT_TRIGGER,
    Grant,
    Policy,
    Trigger,
    create_all,
    isolation,
    restrictive_policy,
    tenant_predicate,
    trigger,
)

STATEMENTS = create_all(isolation(), "users")


def test_isolation_is_enabled_and_forced() -> None:
    """The owner is bound by the policies as well."""
    assert STATEMENTS[:2] == (
        'ALTER TABLE "users" ENABLE ROW LEVEL SECURITY',
        'ALTER TABLE "users" FORCE ROW LEVEL SECURITY',
    )


def test_a_permissive_and_a_restrictive_policy_cover_all_commands() -> None:
    """A later permissive policy cannot widen what the pair allows, and no command lacks a policy."""
    policies = [statement for statement in STATEMENTS if statement.startswith("CREATE POLICY")]
    assert [" AS PERMISSIVE FOR ALL\n" in policies[0], " AS RESTRICTIVE FOR ALL\n" in policies[1]] == [True, True]
    for policy in policies:
        assert f"USING ({PREDICATE})" in policy
        assert f"WITH CHECK ({PREDICATE})" in policy


def test_the_predicate_is_a_sub_select_and_can_be_inline() -> None:
    """The tenant is read once a statement and not once a row; Citus takes the same condition without a sub-query."""
    assert PREDICATE == "tenant_id = (SELECT app.tenant_id())"
    assert tenant_predicate(inline=True) == "tenant_id = app.tenant_id()"


def test_only_the_application_role_is_granted_anything() -> None:
    """TRUNCATE ignores row-level security and is never granted; the rights come when all else is there."""
    assert [statement for statement in STATEMENTS if "GRANT" in statement] == [STATEMENTS[-1]]
    assert STATEMENTS[-1] == 'GRANT SELECT, INSERT, UPDATE, DELETE ON "users" TO "app_user"'


@pytest.mark.parametrize(
    ("part", "create", "drop"),
    [
        (ENABLED, ["ALTER TABLE {t} ENABLE ROW LEVEL SECURITY"], ["ALTER TABLE {t} DISABLE ROW LEVEL SECURITY"]),
        (FORCED, ["ALTER TABLE {t} FORCE ROW LEVEL SECURITY"], ["ALTER TABLE {t} NO FORCE ROW LEVEL SECURITY"]),
        (
            Policy("p", "PERMISSIVE", "true", None, "SELECT", ("app_user", "app_owner")),
            ['CREATE POLICY "p" ON {t} AS PERMISSIVE FOR SELECT TO "app_user", "app_owner"\n  USING (true)'],
            ['DROP POLICY "p" ON {t}'],
        ),
        (
            Trigger("a", "CREATE TRIGGER a AFTER INSERT ON {table} EXECUTE FUNCTION f()", "D"),
            [
                "CREATE TRIGGER a AFTER INSERT ON {t} EXECUTE FUNCTION f()",
                'ALTER TABLE {t} DISABLE TRIGGER "a"',
            ],
            ['DROP TRIGGER "a" ON {t}'],
        ),
        (
            Grant("public", ("SELECT", "UPDATE"), ("email",), grantable=True),
            ['GRANT SELECT ("email"), UPDATE ("email") ON {t} TO PUBLIC WITH GRANT OPTION'],
            ['REVOKE SELECT ("email"), UPDATE ("email") ON {t} FROM PUBLIC CASCADE'],
        ),
    ],
    ids=lambda part: getattr(part, "key", ""),
)
@pytest.mark.parametrize("table", ["order", 'a"b', "Straße"])
def test_a_part_is_made_and_removed(part: Policy, create: list[str], drop: list[str], table: str) -> None:
    """Each kind of part has its statements both ways, whatever the table's name is."""
    name = quote(table)
    assert list(part.create(table)) == [statement.replace("{t}", name) for statement in create]
    assert list(part.drop(table)) == [statement.replace("{t}", name) for statement in drop]


def test_a_policy_beside_the_tenants_only_takes_away() -> None:
    """It is restrictive, and what may be written follows what may be seen unless it is said."""
    bound = (str(Role.USER),)
    assert restrictive_policy("own", "mine") == Policy("own", "RESTRICTIVE", "mine", "mine", roles=bound)
    assert restrictive_policy("own", "true", check="mine") == Policy("own", "RESTRICTIVE", "true", "mine", roles=bound)


def test_the_names_of_the_standard_parts_are_taken() -> None:
    """A model cannot replace what every tenant table has."""
    with pytest.raises(ValueError, match="'tenant_restrict' is the name of a tenant policy"):
        restrictive_policy("tenant_restrict", "true")
    with pytest.raises(ValueError, match="'set_updated_at' is the name of a trigger"):
        trigger(UPDATED_AT_TRIGGER.name, "BEFORE UPDATE", "app.other()")


def test_the_application_role_is_the_one_of_the_settings() -> None:
    """What is granted is granted to the role that the application logs in as."""
    assert isolation()[-1] == Grant(str(Role.USER), ("SELECT", "INSERT", "UPDATE", "DELETE"))
