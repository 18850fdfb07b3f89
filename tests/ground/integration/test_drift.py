"""Damage to the isolation of a migrated database: it is found, generated away, and that can be taken back."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, MetaData, Table, Text, UniqueConstraint, false

from schema.errors import TenancyError
from schema.isolation import drift as against_models
from schema.isolation.finding import Finding
from schema.tenancy.policies import PREDICATE
from tests.kit.drift import Drift

pytestmark = pytest.mark.one_backend

WEAKER = "CREATE POLICY tenant_restrict ON users AS RESTRICTIVE FOR ALL USING (true) WITH CHECK"
DAMAGE = {
    "DROP POLICY tenant_permit ON users": "policy tenant_permit is missing",
    "DROP POLICY tenant_restrict ON users": "policy tenant_restrict is missing",
    "ALTER POLICY tenant_permit ON users USING (true)": "policy tenant_permit is ",
    "ALTER POLICY tenant_restrict ON users WITH CHECK (tenant_id IS NOT NULL)": "policy tenant_restrict is ",
    "ALTER POLICY tenant_permit ON users TO app_user": "policy tenant_permit is ",
    f"DROP POLICY tenant_restrict ON users; {WEAKER} ({PREDICATE})": "policy tenant_restrict is ",
    "CREATE POLICY extra ON users FOR SELECT TO app_user USING (true)": "policy extra is not declared",
    "ALTER TABLE users NO FORCE ROW LEVEL SECURITY": "FORCE ROW LEVEL SECURITY is missing",
    "ALTER TABLE users DISABLE ROW LEVEL SECURITY": "ENABLE ROW LEVEL SECURITY is missing",
    "GRANT TRUNCATE ON users TO app_user": "grant to app_user is ",
    "GRANT SELECT ON users TO PUBLIC": "grant to public is not declared",
    "GRANT SELECT ON users TO app_maintenance": "grant to app_maintenance is not declared",
    "GRANT UPDATE (email) ON users TO PUBLIC": "grant to public of UPDATE on column email is not declared",
    "GRANT DELETE ON users TO app_user WITH GRANT OPTION": "grant to app_user is ",
    "REVOKE DELETE ON users FROM app_user": "grant to app_user is ",
    "REVOKE ALL ON users FROM app_user": "grant to app_user is missing",
    "DROP TRIGGER set_updated_at ON users": "trigger set_updated_at is missing",
    "ALTER TABLE users DISABLE TRIGGER set_updated_at": "trigger set_updated_at is ",
    "CREATE TRIGGER extra BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION app.set_updated_at()": (
        "trigger extra is not declared"
    ),
}


def found_in(drift: Drift) -> Iterator[Finding]:
    """Yield what `invoke check` finds of the database beside the models."""
    return against_models.drift(drift.connection, drift.connection)


@pytest.mark.parametrize(("damage", "cause"), DAMAGE.items(), ids=DAMAGE)
def test_damage_is_found_and_generated_away(damage: str, cause: str, drift: Drift) -> None:
    """It is named, the migration puts right exactly that, and taking the migration back gives the damage again."""
    sound = drift.objects
    drift.execute(damage)
    damaged = drift.objects
    assert damaged != sound

    assert cause in next(found_in(drift)).wrong
    script = drift.generate()
    assert drift.objects == damaged
    drift.upgrade(script)
    assert drift.objects == sound
    assert [*found_in(drift)] == []
    drift.downgrade(script)
    assert drift.objects == damaged


def test_a_migrated_database_has_no_differences(drift: Drift) -> None:
    """Neither the differences nor a generated migration hold anything, and looking for them changes nothing."""
    sound = drift.objects
    assert [*found_in(drift)] == []
    script = drift.generate()
    assert script.upgrade_ops is not None
    assert script.upgrade_ops.is_empty()
    assert drift.objects == sound


def test_comparing_locks_no_table(drift: Drift) -> None:
    """No lock that a query would wait for is held on any table, so it may look at a database that serves."""
    assert [*found_in(drift)] == []
    held = drift.connection.exec_driver_sql("""
        SELECT relation::regclass::text, mode FROM pg_locks JOIN pg_class c ON c.oid = relation
        WHERE pid = pg_backend_pid() AND relnamespace = 'public'::regnamespace AND mode <> 'AccessShareLock'
    """).all()
    assert held == []


@pytest.mark.parametrize(
    "change",
    [
        "ALTER FUNCTION app.tenant_id() IMMUTABLE",
        "ALTER FUNCTION app.set_updated_at() SECURITY DEFINER",
        "ALTER FUNCTION app.tenant_id() SET search_path = app",
    ],
)
def test_a_changed_function_is_made_again(change: str, drift: Drift) -> None:
    """A function is compared with all its properties, and the former one comes back with a downgrade."""
    sound = drift.objects
    drift.execute(change)
    damaged = drift.objects
    script = drift.generate()
    drift.upgrade(script)
    assert drift.objects == sound
    drift.downgrade(script)
    assert drift.objects == damaged


def test_a_function_that_is_not_declared_goes(drift: Drift) -> None:
    """Behind all that could call it, and a downgrade brings it back with who may call it."""
    sound = drift.objects
    drift.execute(
        "CREATE FUNCTION app.extra(n int DEFAULT 7) RETURNS int LANGUAGE sql AS 'SELECT n'",
        "REVOKE EXECUTE ON FUNCTION app.extra FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION app.extra TO app_user",
        "CREATE POLICY extra ON users AS RESTRICTIVE USING (app.extra() > 0)",
    )
    damaged = drift.objects
    script = drift.generate()
    drift.upgrade(script)
    assert drift.objects == sound
    drift.downgrade(script)
    assert drift.objects == damaged


def test_a_dropped_table_comes_back_isolated(drift: Drift, declared: MetaData) -> None:
    """The downgrade makes the table as it was, with whatever isolated it, by hand or declared."""
    drift.execute(
        "CREATE POLICY extra ON users AS RESTRICTIVE USING (email IN (SELECT feature FROM tenant_features))",
        "GRANT SELECT (email) ON users TO app_maintenance",
        "ALTER TABLE users NO FORCE ROW LEVEL SECURITY",
    )
    before = drift.objects
    declared.remove(declared.tables["users"])
    declared.remove(declared.tables["tenant_features"])
    script = drift.generate(declared)
    drift.upgrade(script)
    assert not [found for found in drift.objects if "users" in found[1]]
    drift.downgrade(script)
    assert drift.objects == before


def test_a_table_that_stops_being_a_tenants_loses_its_isolation(drift: Drift, declared: MetaData) -> None:
    """Rights, policies, trigger and flags go before the columns that they need, and come back with a downgrade."""
    # The tenants of other tests may have rows, to which the downgrade could not give their tenant back.
    drift.execute("TRUNCATE tenant_features")
    before = drift.objects
    declared.remove(declared.tables["tenant_features"])
    kept = [Column("feature", Text(), primary_key=True), Column("enabled", Boolean(), server_default=false())]
    Table("tenant_features", declared, *kept)
    script = drift.generate(declared)
    drift.upgrade(script)
    [table] = [found for found in drift.objects if found[:2] == ("relation", "tenant_features")]
    assert (table[2], "app_user" in table[3]) == ("rfalsefalse", False)
    assert not [found for found in drift.objects if found[0] in {"policy", "trigger"} and "features" in found[1]]
    drift.downgrade(script)
    # Columns come back behind the others, and Alembic generates no primary keys.
    assert _isolation(drift.objects) == _isolation(before)


def test_a_table_that_becomes_a_tenants_is_isolated(drift: Drift) -> None:
    """A table that was there without isolation gets all of it, behind the columns that it needs."""
    sound = drift.objects
    drift.execute(
        "DROP TABLE tenant_features",
        'CREATE TABLE tenant_features (feature text NOT NULL, enabled boolean DEFAULT false NOT NULL, "limit" bigint)',
    )
    before = drift.objects
    script = drift.generate()
    drift.upgrade(script)
    assert _isolation(drift.objects) == _isolation(sound)
    drift.downgrade(script)
    assert drift.objects == before


def test_models_that_do_not_keep_tenants_apart_are_not_migrated(drift: Drift, declared: MetaData) -> None:
    """Nothing is generated from tables whose keys reach beyond the tenant, however they were declared."""
    declared.tables["users"].append_constraint(UniqueConstraint("email"))
    with pytest.raises(TenancyError, match=r'Write tenant_unique\("email"\)'):
        drift.generate(declared)


def test_rights_on_other_tables_are_somebody_elses(drift: Drift, declared: MetaData) -> None:
    """A table of no tenant keeps the rights and policies that a migration gave it by hand."""
    drift.execute("CREATE TABLE countries (code text PRIMARY KEY)", "GRANT SELECT ON countries TO app_user")
    Table("countries", declared, Column("code", Text(), primary_key=True))
    script = drift.generate(declared)
    assert script.upgrade_ops is not None
    assert script.upgrade_ops.is_empty()


def _isolation(objects: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    kinds = {"policy", "trigger", "relation"}
    return [found for found in objects if found[0] in kinds and not found[1].startswith("pk_")]
