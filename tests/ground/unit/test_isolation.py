"""The pure parts of the isolation check: what is allowed, what counts as held, what values are made up."""

import re
from pathlib import Path
from uuid import UUID

import pytest
from psycopg.sql import SQL, Composed

from infra.commands import cli
from infra.config.errors import ConfigError
from schema.isolation.declarations import Allowed, Declarations, sift
from schema.isolation.finding import Finding
from schema.isolation.probe import RULES as PROBE_RULES
from schema.isolation.probe.attacks import Attack, Outcome, breach
from schema.isolation.probe.shapes import Check, Column
from schema.isolation.probe.values import candidates, make_up
from schema.isolation.rules import RULES
from tests.kit.errors import about

FINDING = Finding("row-security-off", "users", "it is off", "ALTER TABLE users ENABLE ROW LEVEL SECURITY")


@pytest.mark.parametrize("wrong", ["it is off", "it is off."])
def test_a_finding_is_two_sentences(wrong: str) -> None:
    """Also where somebody else's words, as squawk's, end in a full stop."""
    assert str(Finding("rule", "users", wrong, "turn it on")) == "rule users: it is off. Fix: turn it on"


def test_progress_is_told_where_a_command_takes_its_time() -> None:
    """What is done within a second is not announced."""
    told: list[str] = []
    cli.later(told.append, seconds=60)("at once")
    cli.later(told.append, seconds=0)("late")
    assert told == ["late"]


def column(kind: str, modifier: int = -1, *, not_null: bool = True, labels: tuple[str, ...] = ()) -> Column:
    """Return a column of a type."""
    return Column("t", "c", kind, kind, modifier, not_null, has_default=False, labels=labels)


def test_a_finding_is_one_line() -> None:
    """Rule, object, what is wrong and the fix stand in one line."""
    assert str(FINDING) == "row-security-off users: it is off. Fix: ALTER TABLE users ENABLE ROW LEVEL SECURITY"


def test_an_entry_takes_its_finding_out() -> None:
    """What is allowed with a reason is no finding; the entry that allows it is told."""
    entry = Allowed("row-security-off", "users", "a test")
    assert sift([FINDING], [entry]).findings == ()
    assert sift([FINDING], [entry]).used == (entry,)


@pytest.mark.parametrize("reason", ["", "  "])
def test_an_entry_without_a_reason_allows_nothing(reason: str) -> None:
    """The finding stays, and the entry is another."""
    sifted = sift([FINDING], [Allowed("row-security-off", "users", reason)])
    assert [found.rule for found in sifted.findings] == ["row-security-off", "allow-list"]
    assert sifted.used == ()


@pytest.mark.parametrize(("rule", "name"), [("row-security-off", "tenants"), ("no-such-rule", "users")])
def test_an_entry_that_matches_nothing_is_a_finding(rule: str, name: str) -> None:
    """A misspelt entry, or one whose object was mended, does not stay unseen."""
    sifted = sift([FINDING], [Allowed(rule, name, "a test")])
    assert [found.rule for found in sifted.findings] == ["row-security-off", "allow-list"]


DEFINER = Finding("security-definer", "app.f()", "it does more", "ALTER FUNCTION app.f() SECURITY INVOKER", pin="ab12")


@pytest.mark.parametrize(
    ("finding", "sha256", "says"),
    [
        (DEFINER, "", 'does not pin what it allows.*sha256 = "ab12"'),
        (DEFINER, "cd34", 'has changed since.*sha256 = "ab12"'),
        (FINDING, "cd34", "there is nothing to pin"),
    ],
)
def test_what_a_function_does_is_allowed_by_its_digest(finding: Finding, sha256: str, says: str) -> None:
    """An entry that pins no digest, or another, allows nothing, and says which digest there is now."""
    sifted = sift([finding], [Allowed(finding.rule, finding.object, "a test", sha256)])
    assert sifted.findings[0] == finding
    assert re.search(says, str(sifted.findings[1]))
    assert sift([finding], [Allowed(finding.rule, finding.object, "a test", finding.pin)]).findings == ()


@pytest.mark.parametrize(
    ("rule", "entry", "found"),
    [
        ("tenant-column", "currencies", "SELECT ON TABLE currencies"),
        ("user-privilege", "SELECT ON SEQUENCE bills", "SELECT ON SEQUENCE bills TO app_user"),
        ("role-attribute", "app_user", "BYPASSRLS OF app_user"),
    ],
)
def test_an_entry_names_what_it_allows(rule: str, entry: str, found: str) -> None:
    """One that names an object alone allows nothing of what may be done to it, and the text to write is given.

    The kind: an entry that also allows what is granted later.
    """
    sifted = sift([Finding(rule, found, "it may", "REVOKE")], [Allowed(rule, entry, "a test")])
    assert [each.rule for each in sifted.findings] == [rule, "allow-list"]
    assert f"write it as {found!r}" in sifted.findings[1].fix


def test_an_entry_with_a_digest_is_read(tmp_path: Path) -> None:
    """It is a table of reason and digest."""
    path = tmp_path / "pyproject.toml"
    path.write_text(
        '[tool.groundwork.isolation.allow.security-definer]\n"app.f()" = { reason = "a test", sha256 = "ab12" }\n'
    )
    assert Declarations.load(path).allowed == (Allowed("security-definer", "app.f()", "a test", "ab12"),)


def test_no_two_rules_have_one_name() -> None:
    """An entry of the allow-list means one rule."""
    names = [rule.__name__.replace("_", "-") for rule in RULES] + sorted(PROBE_RULES)
    assert len(names) == len(set(names))


def test_a_project_that_says_nothing_allows_nothing(tmp_path: Path) -> None:
    """Without a section on isolation there are no entries and no factories."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'shop'\n")
    assert Declarations.load(tmp_path / "pyproject.toml") == Declarations()


@pytest.mark.parametrize(
    "text",
    [
        "[tool.groundwork]\nisolation = 1",
        "[tool.groundwork.isolation]\nallow = []",
        "[tool.groundwork.isolation.allow]\nrow-security-off = 'users'",
        "[tool.groundwork.isolation.allow.row-security-off]\nusers = true",
        "[tool.groundwork.isolation.allow.row-security-off]\nusers = { reason = 1 }",
        "[tool.groundwork.isolation.allow.row-security-off]\nusers = { because = 'it is' }",
        "[tool.groundwork.isolation.factories]\nusers = 1",
        "nonsense",
    ],
)
def test_what_is_malformed_is_an_error_of_configuration(text: str, tmp_path: Path) -> None:
    """What cannot be read is named with its file, and never taken for nothing."""
    path = tmp_path / "pyproject.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, check=about(file=path)):
        Declarations.load(path)


def attack(*, only_rights: bool = False, constraints_hold: bool = False) -> Attack:
    """Return an attack that differs in what holds it."""
    return Attack("a", "t", Composed([SQL("")]), only_rights=only_rights, constraints_hold=constraints_hold)


@pytest.mark.parametrize(
    ("tried", "outcome", "held"),
    [
        (attack(), Outcome(rows=0), True),
        (attack(), Outcome(rows=1), False),
        (attack(), Outcome(sqlstate="42501"), True),
        (attack(), Outcome(sqlstate="P0001"), True),
        (attack(), Outcome(sqlstate="23505"), False),
        (attack(constraints_hold=True), Outcome(sqlstate="23503"), True),
        (attack(constraints_hold=True), Outcome(rows=1), False),
        (attack(only_rights=True), Outcome(rows=0), False),
        (attack(only_rights=True), Outcome(sqlstate="0A000"), False),
        (attack(only_rights=True), Outcome(sqlstate="42501"), True),
    ],
)
def test_what_counts_as_held(tried: Attack, outcome: Outcome, held: bool) -> None:
    """Nothing shown or touched is held; a refusal counts by what refused it."""
    assert (breach(tried, outcome) is None) is held


@pytest.mark.parametrize(
    "kind", ["uuid", "text", "int4", "date", "timestamptz", "inet", "bytea", "interval", "macaddr"]
)
def test_values_differ(kind: str) -> None:
    """Of a type that has room no two made-up values are equal."""
    assert len({make_up(column(kind)) for _ in range(50)}) == 50


def test_values_fit() -> None:
    """A short text, a narrow number and a bit string are as long as their column; a uuid is one."""
    assert len(make_up(column("varchar", 4 + 3)) or "") == 3
    assert int(make_up(column("numeric", ((2 << 16) | 1) + 4)) or "99") < 10
    assert len(make_up(column("bit", 4)) or "") == 4
    assert str(UUID(make_up(column("uuid")))) != str(UUID(int=0))
    assert make_up(column("enum", labels=("good", "bad"))) == "good"
    assert make_up(column("geometry")) is None


def test_candidates_come_of_the_check() -> None:
    """What a CHECK names is tried: its texts, its numbers and theirs beside them, its lengths, and nothing at all."""
    named = list(candidates(Check("t", "k", ("c",), "CHECK (c IN ('it''s', 'b') OR c < 7)"), column("text")))
    assert {"it's", "b", "6", "7", "8", "a" * 7} <= set(named)
    assert None not in named
    assert None in candidates(Check("t", "k", ("c",), "CHECK (c > 1)"), column("int4", not_null=False))
