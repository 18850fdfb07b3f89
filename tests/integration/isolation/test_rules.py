"""Each rule of the isolation check, held against damage that is done for real and rolled back."""

import pytest

from schema.connect import BoundedConnection
from schema.isolation.finding import rule_id
from schema.isolation.rules import RULES
from tests.integration.isolation.conftest import broken, findings
from tests.integration.isolation.damages import DAMAGES, HARMLESS, WIDE_DAMAGES

pytestmark = pytest.mark.one_backend


def do(connection: BoundedConnection, statements: str) -> None:
    """Do damage in the database that the connection is on."""
    connection.execute(statements.replace("{database}", connection.info.dbname).encode())


# A finding of these gives the whole statement, and no alternative to it.
WRITTEN = (
    *("row-", "policy-", "partition-", "foreign-key-disabled", "view-", "materialized-", "foreign-table", "leakproof-"),
    *("security-definer-search", "security-definer-for", "immutable-", "setting-", "untrusted-", "event-"),
    *("user-", "column-", "public-", "maintenance-", "default-", "role-attribute", "role-membership"),
)


@pytest.mark.parametrize(
    ("rule", "what", "statements"), DAMAGES, ids=[f"{number}-{rule}" for number, (rule, *_) in enumerate(DAMAGES)]
)
def test_damage_is_found(rule: str, what: str, statements: str, damage: BoundedConnection) -> None:
    """Damage breaks the one rule that is about it, at the object that was damaged, and the finding's fix heals it."""
    do(damage, statements)
    (finding,) = findings(damage)
    assert (finding.rule, finding.object) == (rule, what.format(database=damage.info.dbname))
    if rule.startswith(WRITTEN):
        do(damage, finding.fix.partition(", or")[0])
        assert broken(damage) == set()


@pytest.mark.parametrize(("statements", "expected"), WIDE_DAMAGES, ids=range(len(WIDE_DAMAGES)))
def test_wide_damage_is_found_whole(statements: str, expected: set[tuple[str, str]], damage: BoundedConnection) -> None:
    """What breaks several rules is a finding of each."""
    do(damage, statements)
    assert broken(damage) == expected


@pytest.mark.parametrize("statements", HARMLESS, ids=range(len(HARMLESS)))
def test_what_is_sound_is_no_finding(statements: str, damage: BoundedConnection) -> None:
    """What keeps tenants apart as well, or does not concern them, breaks no rule."""
    do(damage, statements)
    assert broken(damage) == set()


def test_every_rule_is_tried() -> None:
    """There is damage for each rule."""
    tried = {rule for rule, _, _ in DAMAGES} | {rule for _, found in WIDE_DAMAGES for rule, _ in found}
    assert tried == {rule_id(rule) for rule in RULES}
