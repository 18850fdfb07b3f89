"""What a change opens or closes, as the pure decision has it. The kind: a wider right that looks like none."""

from dataclasses import replace
from json import dumps, loads

import pytest

from schema.isolation.access.changes import Effect, changes
from schema.isolation.access.matrix import Access, AppliedPolicy, Matrix
from schema.isolation.access.written import describe, lines_of, load, table

PERMIT = AppliedPolicy("tenant_permit", permissive=True, using="mine", check="")
RESTRICT = AppliedPolicy("tenant_restrict", permissive=False, using="mine", check="")
READ = Access("app_user", "", "table", "users", "SELECT", (), ("direct",), "policies", (PERMIT, RESTRICT))
VIEW = Access("app_user", "", "view", "all_users", "SELECT", (), ("direct",), "as reader", ())


def effects(before: Access | None, after: Access | None) -> list[Effect]:
    """Return what changes between two states of one access."""
    old, new = (Matrix("app", (entry,) if entry else ()) for entry in (before, after))
    return [change.effect for change in changes(old, new)]


WIDER = {
    "a right": (None, READ),
    "the whole instead of columns": (replace(READ, columns=("email",)), READ),
    "another column": (replace(READ, columns=("email",)), replace(READ, columns=("email", "name"))),
    "no policies": (READ, replace(READ, rows="unprotected", policies=())),
    "an attribute": (READ, replace(READ, rows="bypassed", policies=())),
    "ownership without FORCE": (READ, replace(READ, rows="owner", policies=())),
    "another permissive policy": (READ, replace(READ, policies=(replace(PERMIT, name="open"), PERMIT, RESTRICT))),
    "a restrictive policy less": (READ, replace(READ, policies=(PERMIT,))),
    "a view of its owner": (VIEW, replace(VIEW, rows="as app_owner")),
    "a right after SET ROLE": (READ, replace(READ, as_role="app_owner")),
}


@pytest.mark.parametrize("what", WIDER)
def test_what_is_wider_opens_and_the_other_way_closes(what: str) -> None:
    """Either way the effect is told, with no doubt about its direction."""
    before, after = WIDER[what]
    if what == "a right after SET ROLE":
        before = None
    assert effects(before, after) == [Effect.OPENS]
    assert effects(after, before) == [Effect.CLOSES]


@pytest.mark.parametrize(
    "after",
    [
        replace(READ, policies=(replace(PERMIT, using="true"), RESTRICT)),
        replace(READ, policies=(PERMIT, replace(RESTRICT, permissive=True))),
        replace(READ, policies=(PERMIT, replace(RESTRICT, check="true"))),
    ],
    ids=["an expression", "a kind", "a check"],
)
def test_another_expression_is_for_a_person_to_judge(after: Access) -> None:
    """It counts as opened, and says what it is and was."""
    (change,) = changes(Matrix("app", (READ,)), Matrix("app", (after,)))
    assert (change.effect, change.opens) == (Effect.CHANGES, True)
    assert "was:" in change.difference


def test_two_directions_are_two_changes() -> None:
    """Columns exchanged for others open some and close some."""
    one, other = replace(READ, columns=("a", "b")), replace(READ, columns=("b", "c"))
    assert sorted(effects(one, other)) == [Effect.CLOSES, Effect.OPENS]


def test_another_grant_of_the_same_right_is_no_change() -> None:
    """What a role may do is as it was; nor does the database's name matter."""
    other = replace(READ, grants=("PUBLIC", "direct"))
    assert changes(Matrix("app", (READ,)), Matrix("other", (other,))) == ()


def test_commands_that_change_alike_are_one_line() -> None:
    """The role, the object and the difference stand once."""
    all_commands = tuple(replace(READ, command=command) for command in ("DELETE", "SELECT", "UPDATE"))
    (line,) = lines_of(changes(Matrix("app", ()), Matrix("app", all_commands)))
    assert line == "opens app_user: DELETE, SELECT, UPDATE on table users: by direct"


def test_a_matrix_comes_back_from_its_json() -> None:
    """What is written is read as it was."""
    matrix = Matrix("app", (READ, replace(VIEW, columns=("a",))))
    assert load(dumps(describe(matrix))) == matrix


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"access": [{}]}', '{"access": 1}', "nonsense", '{"access": [1]}'])
def test_what_is_no_matrix_is_refused(text: str) -> None:
    """With what is wrong in words."""
    with pytest.raises(ValueError, match=r"\w+"):
        load(text)


@pytest.mark.parametrize(
    "broken", [{"policies": [{"name": "x"}]}, {"policies": 1}, {"columns": "n"}, {"grants": None}, {"role": 3}]
)
def test_a_broken_entry_is_refused(broken: dict[str, object]) -> None:
    """A field of another type is refused as one that is not there."""
    entry = loads(dumps(describe(Matrix("app", (READ,)))))["access"][0]
    with pytest.raises(ValueError, match=r"\w+"):
        load(dumps({"access": [entry | broken]}))


def test_the_table_says_where_no_policy_applies() -> None:
    """Without a permissive policy no row is shown; as whom, and of which columns, stands beside the name."""
    shown = table(Matrix("app", (replace(READ, as_role="g", columns=("a", "b"), policies=()),)))
    assert "app_user as g" in shown
    assert "users (a, b)" in shown
    assert shown.splitlines()[1].endswith("no policy, so no row")
