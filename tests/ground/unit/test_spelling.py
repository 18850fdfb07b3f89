"""PostgreSQL's text, as it can be given to PostgreSQL; that it is the same then is claimed where there is a server."""

import pytest

from schema.migration.diff.spelling import reproducible

CASES = {
    "((s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))": (
        "((s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying]::character varying[])::text[]))"
    ),
    "(ARRAY[f(s), 'a]''::x'::\"My type\"])::text[]": "(ARRAY[f(s), 'a]''::x'::\"My type\"]::\"My type\"[])::text[]",
    "(ARRAY['a'::character varying(3)])::text[]": "(ARRAY['a'::character varying(3)]::character varying(3)[])::text[]",
    "(((n >= 1) AND (n <= 9)) AND b)": "(((n >= 1) AND (n <= 9))::boolean AND b)",
    "((b AND c) AND\n CASE n": "((b AND c)::boolean AND\n CASE n",
    "(((n >= 1) OR (n <= 9)) OR b OR c)": "(((n >= 1) OR (n <= 9))::boolean OR b OR c)",
}
SAME = (
    "ARRAY[1, 2]",
    "ARRAY[('a'::character varying)::text]",
    "(ARRAY[x])::text[]",
    "'(ARRAY[1::bigint])::text[]'",
    "((a OR b) AND c)",
    "(a AND (b AND c))",
    "((a AND b) OR c)",
    "count(*) OVER (ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
    "'((a AND b) AND c)'",
)


@pytest.mark.parametrize(("text", "spelled"), [*CASES.items(), *((text, text) for text in SAME)])
def test_only_what_would_be_read_otherwise_is_spelled_otherwise(text: str, spelled: str) -> None:
    """Casts are put where PostgreSQL would move a cast or join a list, and nowhere within constants and names."""
    assert reproducible(text) == spelled
