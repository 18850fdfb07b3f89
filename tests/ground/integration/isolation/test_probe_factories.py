"""Rows that cannot be made up, and the factories that give them."""

import pytest

from schema.isolation.probe.factories import load_factories
from tests.ground.integration.isolation.conftest import Attack, found
from tests.ground.integration.isolation.damaged_tables import protected
from tests.ground.integration.isolation.test_probe_rows import CIRCLE

pytestmark = pytest.mark.one_backend

NUMBERS = protected("numbers", "tenant_id uuid, n int, PRIMARY KEY (tenant_id, n)")
INVOICES = protected(
    "invoices",
    "tenant_id uuid NOT NULL, number text NOT NULL CHECK (number ~ '^INV-[0-9]{4}$'), note text,"
    " PRIMARY KEY (tenant_id, number)",
)


def test_a_row_that_cannot_be_made_up_asks_for_a_factory(attack: Attack) -> None:
    """Where no value satisfies a CHECK, the table is a finding; nothing is said to be proven that was not tried."""
    (finding,) = attack(INVOICES).findings
    assert (finding.rule, finding.object) == ("probe-row", "invoices")
    assert "ck" in finding.wrong or "check" in finding.wrong
    assert "tool.groundwork.isolation.factories" in finding.fix
    assert 'invoices = "tests.factories:invoices"' in finding.fix
    assert 'return {"number": …}' in finding.fix


def test_a_factory_gives_the_rows(attack: Attack) -> None:
    """With its factory the table is attacked as any other, and a leak in it is found."""
    factories = load_factories({"invoices": f"{__package__}.factories:invoice"})
    plain = attack(INVOICES, factories)
    assert found(plain) == set()
    assert plain.attacks > 100


def test_a_factory_opens_a_table_to_attack(attack: Attack) -> None:
    """The rows of a factory are what a leak shows."""
    factories = load_factories({"invoices": f"{__package__}.factories:invoice"})
    leaking = attack(INVOICES + "ALTER TABLE invoices DISABLE ROW LEVEL SECURITY", factories)
    assert {("read", "invoices"), ("move", "invoices")} <= found(leaking)


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        ("CREATE TYPE pair AS (a int, b int);" + protected("odd", "tenant_id uuid NOT NULL, p pair NOT NULL"), "pair"),
        (
            protected(
                "odd",
                "tenant_id uuid, n int, twice int GENERATED ALWAYS AS (n * 2) STORED, PRIMARY KEY (tenant_id, n),"
                " UNIQUE (tenant_id, twice), half int NOT NULL, FOREIGN KEY (tenant_id, half) REFERENCES odd"
                " (tenant_id, twice)",
            ),
            "twice, which is generated",
        ),
        (
            CIRCLE.format("", "").replace("b int NOT NULL", "b int NOT NULL, p pair NOT NULL"),
            "no value of the type pair can be made up for p",
        ),
        (
            protected("odd", "tenant_id uuid NOT NULL, n int")
            + "CREATE FUNCTION app.none() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            "CREATE TRIGGER none BEFORE INSERT ON odd FOR EACH ROW EXECUTE FUNCTION app.none()",
            "keeps none",
        ),
        (
            protected(
                "odd",
                "tenant_id uuid NOT NULL, n int GENERATED ALWAYS AS (7) STORED, FOREIGN KEY (tenant_id, n)"
                " REFERENCES numbers",
            ).replace("CREATE TABLE odd", NUMBERS + "CREATE TABLE odd"),
            "violates foreign key",
        ),
        (protected("odd", "tenant_id uuid NOT NULL, ok bool NOT NULL UNIQUE"), "duplicate key"),
    ],
    ids=[
        *("a type of one's own", "a reference to what is generated", "a circle with it", "a trigger that keeps none"),
        *("a generated reference", "too few values"),
    ],
)
def test_what_no_row_can_be_made_for_says_why(statements: str, reason: str, attack: Attack) -> None:
    """The finding gives the reason, so that the factory can be written."""
    rows = [finding for finding in attack(statements).findings if finding.rule == "probe-row"]
    assert rows
    assert any(reason in finding.wrong for finding in rows)


def test_a_wrong_factory_is_named(attack: Attack) -> None:
    """What the server says of a factory's row is the finding."""
    (finding,) = attack("SELECT", load_factories({"users": f"{__package__}.factories:nonsense"})).findings
    assert finding.rule == "probe-row"
    assert "colour" in finding.wrong


@pytest.mark.parametrize(("factory", "reason"), [("failing", "ZeroDivisionError"), ("nothing", "TypeError")])
def test_a_factory_that_fails_is_named(factory: str, reason: str, attack: Attack) -> None:
    """A factory is anybody's code: what it raises, or returns in a row's place, is the finding of its table."""
    probed = attack("SELECT", load_factories({"users": f"{__package__}.factories:{factory}"}))
    (finding,) = probed.findings
    assert (finding.rule, finding.object, probed.error) == ("probe-row", "users", None)
    assert reason in finding.wrong


def test_a_factory_that_fails_later_is_named(attack: Attack) -> None:
    """It is asked again for each attack; the other tables are attacked all the same."""
    probed = attack(
        "ALTER TABLE tenants DISABLE ROW LEVEL SECURITY", load_factories({"users": f"{__package__}.factories:once"})
    )
    assert {("row", "users"), ("read", "tenants")} <= found(probed)
