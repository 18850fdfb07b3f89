"""One cause is one finding, held against servers on which everything is open: what follows from it is under it."""

from pathlib import Path

import pytest

from infra.config.settings import Role
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.isolation.check import check
from schema.isolation.formats import json, text
from tests.ground.integration.isolation.conftest import migration
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

ON_ROLES = {
    "BYPASSRLS": ("ALTER ROLE app_user BYPASSRLS", "ALTER ROLE app_user NOBYPASSRLS", "role-attribute"),
    "SUPERUSER": ("ALTER ROLE app_user SUPERUSER", "ALTER ROLE app_user NOSUPERUSER", "role-attribute"),
    "replica": (
        "ALTER ROLE app_user SET session_replication_role = replica",
        "ALTER ROLE app_user RESET session_replication_role",
        "session-default",
    ),
}


@pytest.mark.parametrize("what", ON_ROLES)
def test_a_role_that_is_past_the_policies_is_one_finding(
    what: str, stack: RunningStack, admin: BoundedConnection, migrated: DatabaseUrl
) -> None:
    """The role stands for all attacks that got through, and JSON holds each of them."""
    damage, mend, rule = ON_ROLES[what]
    admin.execute(damage.encode())
    try:
        report = check(migrated, stack.url(Role.USER), stack.settings)
    finally:
        admin.execute(mend.encode())
    (cause,) = [cause for cause in report.causes if cause.finding.rule == rule]
    assert not any(each.finding.rule.startswith("probe-") for each in report.causes)
    told = json.describe(report)["findings"]
    assert sum(1 + len(finding["explains"]) for finding in told) == len(report.findings)
    if what == "BYPASSRLS":
        assert " attacks on tenant_features, tenants, users. Fix: " in text.render(report)
        assert {"probe-read", "probe-delete"} <= {found.rule for found in cause.explains}


def test_a_table_that_is_open_is_one_finding(stack: RunningStack, clone: DatabaseUrl, checkout: Path) -> None:
    """Without row level security it stands for the attacks on it, and for the difference from the models."""
    statement = "ALTER TABLE users DISABLE ROW LEVEL SECURITY"
    migration(checkout, statement)
    with connect(clone, stack.settings, autocommit=True) as connection:
        connection.execute(statement.encode())
    report = check(clone, stack.url(Role.USER), stack.settings, checkout=checkout)
    assert [(cause.finding.rule, cause.finding.object) for cause in report.causes] == [("row-security-off", "users")]
    assert {"as-declared", "probe-read", "probe-move"} <= {found.rule for found in report.causes[0].explains}
