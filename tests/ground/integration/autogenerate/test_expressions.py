"""What means the same is no change, whichever of its texts PostgreSQL has."""

import re

import pytest
from sqlalchemy import Boolean, String, text

from schema.tenancy.policies import restrictive_policy
from tests.ground.integration.autogenerate.changes import (
    Declare,
    column,
    declared,
    notes,
    several,
    table,
    tenant_table,
    tenants,
)
from tests.ground.integration.autogenerate.domain_changes import domains
from tests.ground.integration.autogenerate.expression_changes import seen
from tests.kit.cases import Cases

pytestmark = pytest.mark.one_backend

DEFAULT = "(lower('A')::varchar IN ('a', 'b'))"
MODELS = {
    "a table, its views and a default": several(
        seen(String(20), "a", "b"),
        lambda m: m.tables["t"].append_column(column("e", Boolean, server_default=text(DEFAULT))()),
    ),
    "domains": several(table(), domains(0)),
    "a policy": several(tenants, notes(String(9), "level IN ('a', 'b')")),
}

# As pg_dump writes it down, and as the migrations of other tools do that copy what PostgreSQL says.
RESTORED = r"""
    SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I, ADD CONSTRAINT %%2$I %%s', conrelid::regclass, conname,
                  pg_get_constraintdef(oid))
    FROM pg_constraint WHERE contype IN ('c', 'x') AND conrelid <> 0 AND connamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('DROP INDEX %%s;%%s', indexrelid::regclass, pg_get_indexdef(indexrelid)) FROM pg_index
    WHERE indrelid = to_regclass('t') AND (indpred IS NOT NULL OR indexprs IS NOT NULL)
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
    UNION ALL
    SELECT format('CREATE OR REPLACE VIEW %%s WITH (security_invoker) AS %%s', oid::regclass, pg_get_viewdef(oid))
    FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('ALTER POLICY %%I ON %%I USING (%%s) WITH CHECK (%%s)', policyname, tablename, qual, with_check)
    FROM pg_policies WHERE schemaname = 'public'
    UNION ALL
    SELECT CASE attgenerated WHEN '' THEN format('ALTER TABLE t ALTER %%I SET DEFAULT %%s', attname, said)
           ELSE format('ALTER TABLE t DROP %%I, ADD %%1$I boolean GENERATED ALWAYS AS (%%s) STORED', attname, said) END
    FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum, pg_get_expr(adbin, adrelid) AS said
    WHERE adrelid = to_regclass('t')
    UNION ALL
    SELECT format('ALTER DOMAIN %%s DROP CONSTRAINT %%I;ALTER DOMAIN %%1$s ADD CONSTRAINT %%2$I %%s', contypid::regtype,
                  conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE contypid <> 0 AND connamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('ALTER DOMAIN %%s SET DEFAULT %%s', oid::regtype, pg_get_expr(typdefaultbin, 0)) FROM pg_type
    WHERE typtype = 'd' AND typdefaultbin IS NOT NULL AND typnamespace = 'public'::regnamespace
"""


@pytest.mark.parametrize("models", MODELS.values(), ids=MODELS)
def test_what_was_restored_of_its_own_text_is_no_change(models: Declare, cases: Cases) -> None:
    """A dump that was restored, or a migration of PostgreSQL's words, holds other texts of the same meaning."""
    wanted = declared(models)
    cases.run(cases.generate(wanted).upgrade)
    former = cases.catalogue
    cases.execute(*(statement for (statement,) in cases.ask(RESTORED)))
    restored = cases.catalogue
    assert restored != former
    assert cases.generate(wanted).is_empty
    assert cases.catalogue == restored


def test_what_was_restored_of_another_text_is_a_change(cases: Cases) -> None:
    """Of texts that PostgreSQL has read again, one label is another."""
    cases.run(cases.generate(declared(seen(String(20), "a", "b"))).upgrade)
    statements = [statement for (statement,) in cases.ask(RESTORED)]
    cases.execute(*statements)
    other = declared(seen(String(20), "a", "c"))
    written = cases.generate(other)
    assert {
        name for name in ("ck_t_c", "apart", "ix_partial", '"v"', '"w"', '"g"') if name not in written.upgrade
    } == set()
    cases.run(written.upgrade)
    assert cases.generate(other).is_empty


def test_a_policy_that_means_the_same_stays(cases: Cases) -> None:
    """Of two policies of a table, the one that says otherwise is made again, and no other."""

    def models(label: str) -> Declare:
        policies = [
            restrictive_policy("own", f"level IN ('a', '{label}')"),
            restrictive_policy("other", "level IN ('a', 'b')"),
        ]
        return several(tenants, tenant_table(String(9), policies=policies))

    cases.run(cases.generate(declared(models("b"))).upgrade)
    cases.execute(*(statement for (statement,) in cases.ask(RESTORED)))
    assert re.findall('CREATE POLICY "(.*?)"', cases.generate(declared(models("c"))).upgrade) == ["own"]
