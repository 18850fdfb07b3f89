from hypothesis import given
from hypothesis import strategies as st

from schema.migration.diff.rls.compare import Difference, differences
from schema.tenancy.policies import ENABLED, FORCED, PERMIT, UPDATED_AT_TRIGGER, Grant, Part, Policy, Trigger, isolation

TABLES = st.sampled_from(["users", "notes"])
PARTS: st.SearchStrategy[Part] = st.one_of(
    st.sampled_from([ENABLED, FORCED, UPDATED_AT_TRIGGER]),
    st.builds(
        Policy, st.sampled_from([PERMIT, "other"]), st.just("PERMISSIVE"), st.sampled_from(["a", "b"]), st.none()
    ),
    st.builds(Trigger, st.just("audit"), st.sampled_from(["x", "y"]), st.sampled_from(["O", "D"])),
    st.builds(Grant, st.sampled_from(["app_user", "public"]), st.sampled_from([("SELECT",), ("SELECT", "DELETE")])),
)
STATES = st.dictionaries(TABLES, st.lists(PARTS, unique_by=lambda part: part.key).map(tuple))


def test_what_is_declared_is_no_difference() -> None:
    """The order of the parts does not matter."""
    assert differences({"users": isolation()}, {"users": isolation()[::-1]}) == ()


def test_each_difference_has_its_cause() -> None:
    """What is missing, extra or changed is said in words, with the table and both forms."""
    former: list[Part] = [Grant("app_user", ("SELECT",)), Grant("public", ("SELECT",)), ENABLED]
    wanted: list[Part] = [Grant("app_user", ("SELECT", "INSERT")), ENABLED, FORCED]
    assert [difference.cause for difference in differences({"users": wanted}, {"users": former})] == [
        "users: FORCE ROW LEVEL SECURITY is missing",
        (
            'users: grant to app_user is `GRANT SELECT ON "users" TO "app_user"`,'
            ' declared is `GRANT SELECT, INSERT ON "users" TO "app_user"`'
        ),
        "users: grant to public is not declared",
    ]


def test_a_table_that_nobody_declared_is_left_alone() -> None:
    """Rights and policies of tables that were never a tenant's are somebody else's."""
    assert (
        differences(
            {}, {"countries": (ENABLED, Grant("app_user", ("SELECT",)), Policy("p", "PERMISSIVE", "true", None))}
        )
        == ()
    )


def test_a_former_tenant_table_keeps_nothing() -> None:
    """Everything that isolated it goes, the rights of the application with it."""
    gone = differences({}, {"users": isolation()})
    assert [(change.former, change.wanted) for change in gone] == [(part, None) for part in isolation()]


@given(declared=STATES, actual=STATES)
def test_removing_what_was_and_making_what_is_wanted_gives_the_declared(
    declared: dict[str, tuple[Part, ...]], actual: dict[str, tuple[Part, ...]]
) -> None:
    """Carried out, the differences leave every declared table as it is declared; carried back, as it was."""
    state: dict[str, set[Part | None]] = {table: set(actual.get(table, ())) for table in {*declared, *actual}}
    found = differences(declared, actual)
    for change in found:
        state[change.table] = (state[change.table] - {change.former} | {change.wanted}) - {None}
    assert all(state[table] == set(parts) for table, parts in declared.items())
    for change in found:
        state[change.table] = (state[change.table] - {change.wanted} | {change.former}) - {None}
    assert all(state[table] == set(parts) for table, parts in actual.items())


def test_grants_come_last_and_go_first() -> None:
    """A difference knows where its part stands, so that no moment shows the application too much."""
    ranks = [Difference("users", part, None).rank for part in isolation()]
    assert ranks == sorted(ranks)
    assert ranks[-1] > max(ranks[:-1])
