"""A table whose expressions are in PostgreSQL's own vocabulary, as hypothesis strategies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import ARRAY, CheckConstraint, Column, Computed, Enum, Index, MetaData, String, Table, select, text
from sqlalchemy import types as generic
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.schema import CreateView
from sqlalchemy.types import TypeEngine

from schema.migration.diff.rls.operations import escape
from tests.ground.integration.autogenerate.changes import INVOKER

Kind = Callable[[], TypeEngine[Any]]
MOODS = ("ok", "it's", ":sad%")
# The columns that expressions name: what SQLAlchemy and PostgreSQL call them, and a value of each.
COLUMNS: Mapping[str, tuple[Kind, str, str]] = {
    "v": (lambda: String(20), "varchar(20)", "'a'"),
    "c": (lambda: generic.CHAR(5), "char(5)", "'a:b'"),
    "x": (generic.Text, "text", r"'it''s %s \ :x'"),
    "n": (lambda: generic.Numeric(10, 2), "numeric(10, 2)", "2.50"),
    "i": (generic.Integer, "integer", "3"),
    "b": (generic.BigInteger, "bigint", "-2"),
    "f": (generic.Double, "double precision", "1.5"),
    "d": (generic.Date, "date", "'2020-02-29'"),
    "ts": (generic.DateTime, "timestamp", "'2020-01-01 12:30'"),
    "tz": (lambda: generic.DateTime(timezone=True), "timestamptz", "'2020-01-01 12:30Z'"),
    "iv": (generic.Interval, "interval", "'1 day 2:03'"),
    "j": (pg.JSONB, "jsonb", """'{"a": [1, 2], "k:x": "it''s %"}'"""),
    "a": (lambda: ARRAY(generic.Text), "text[]", "'{a,b}'"),
    "va": (lambda: ARRAY(String(10)), "varchar(10)[]", "'{a,b}'"),
    "ia": (lambda: ARRAY(generic.Integer), "integer[]", "'{1,2}'"),
    "m": (lambda: Enum(*MOODS, name="mood"), "public.mood", "'ok'"),
    "dm": (lambda: pg.DOMAIN("word", String(20), check="VALUE NOT IN ('bad', 'x')"), "public.word", "'a'"),
    "u": (generic.Uuid, "uuid", "'00000000-0000-0000-0000-000000000001'"),
    "bo": (generic.Boolean, "boolean", "true"),
    "by": (generic.LargeBinary, "bytea", r"'\x00ff'"),
    "ip": (pg.INET, "inet", "'10.1.2.3'"),
    "ci": (pg.CIDR, "cidr", "'10.0.0.0/8'"),
    "r": (pg.INT4RANGE, "int4range", "'[1,5)'"),
    "tv": (pg.TSVECTOR, "tsvector", "'a:1 b:2'"),
}
WORDS = ("v", "c", "x", "dm")
FRAGMENTS = (
    "a",
    "b",
    "it's",
    ":x",
    "::",
    "%",
    "%s",
    "\\",
    '"',
    "ü",
    "日",
    " ",
    "[",
    "]",
    "ARRAY[",
    ")",
    "--",
    ";",
    "$$",
    "\n",
)

# {w} is a column of words and {s} a constant; what is said in one way only is known to be of no fixed point otherwise.
ABOUT_WORDS = (
    "{w} IN ({s}, {s})",
    "{w} NOT IN ({s}, {s}, {s})",
    "{w} = ANY (ARRAY[{s}, {s}])",
    "{w} = ANY (ARRAY[{s}, 'b']::varchar[])",
    "{w} LIKE {s} ESCAPE '!'",
    "{w} NOT ILIKE '%a_b%'",
    "{w} BETWEEN {s} AND {s}",
    "{w} || {s} <> {s}",
    "coalesce({w}, {s}) IN ({s}, {s})",
    "nullif({w}, {s}) IS NULL",
    "CASE {w} WHEN {s} THEN i > 1 WHEN {s} THEN bo END",
    "lower({w}) IN ({s}, {s})",
    "{w}::varchar(3) IN ({s}, {s})",
    "{w}::char(3) = {s}",
    "position({s} in {w}) > 0",
    "substring({w} from 1 for 2) = {s}",
    "{w} SIMILAR TO '(a|b)%'",
    "{w} ~ '^(?:a|b)+$'",
    "greatest({w}, {s}) > {s}",
    "length(trim(both {s} from {w})) > 0",
    '{w} COLLATE "C" < {s}',
    "({w}, i) IN (({s}, 1), ({s}, 2))",
    "ROW({w}, i) < ROW({s}, 2)",
    "{w} IS DISTINCT FROM {s}",
)
ABOUT_OTHERS = (
    "n IN (1, 2.50, -3)",
    "n::numeric(5, 1) > 1.25",
    "i / 2 = 1 AND i % 2 <> 0",
    "b IN (1, 2)",
    "i IN (1, 2.5)",
    "f > 1e-3",
    "-i < - 2",
    "i BETWEEN SYMMETRIC 3 AND 1",
    "mod(i, 3) = 1 OR n = round(n, 1)",
    "d >= '2020-02-29'",
    "d IN ('2020-01-01', 'infinity')",
    "d + 1 > '2020-01-01'::date",
    "ts > '2020-01-01 00:00'::timestamp - interval '1 day 2:03:04'",
    "tz AT TIME ZONE 'UTC' > '2020-01-01 12:00'",
    "tz IN ('2020-01-01 12:30Z', '-infinity')",
    "iv < interval '1' month",
    "iv IN ('1 day', '2:03')",
    "extract(year FROM d) = 2020",
    "date_trunc('month', ts) = ts",
    """j @> '{"a": [1], "b": ":c %"}'""",
    "j ->> 'k:x' IN ({s}, {s})",
    "j ? 'a' AND jsonb_typeof(j -> 'a') = 'array'",
    "j #>> '{a,0}' = {s}",
    "j @? '$.a[*] ? (@ > 1)'",
    "va && ARRAY['a', 'b']::varchar[]",
    "a @> ARRAY[{s}]",
    "{s} = ANY (a)",
    "{s} <> ALL (va)",
    "va[1] IN ({s}, {s})",
    "va[1:2] = ARRAY[{s}, 'b']::varchar[]",
    "ia = '{1,2}' OR cardinality(ia) > 1",
    "ia @> ARRAY[1]::smallint[]::integer[]",
    "a <> '{}' AND 'b' = ANY (a || '{a,b}'::text[])",
    "m IN ('ok', 'it''s')",
    "m > 'ok' OR m = ':sad%'",
    "m = ANY ('{ok}'::mood[])",
    "u IN ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002')",
    "bo IS NOT TRUE",
    "NOT bo OR bo IS UNKNOWN",
    r"by = '\x00ff'",
    r"by IN ('\x00', E'\\xff')",
    "ip << '10.0.0.0/8'",
    "ci IN ('10.0.0.0/8', '::/0')",
    "r @> 3 AND NOT isempty(r)",
    "r && int4range(1, 5, '[]')",
    "tv @@ 'a & b:*'::tsquery",
    "to_tsvector('simple', x) @@ to_tsquery('simple', 'a:*')",
    "num_nulls(v, x) < 2",
)
AROUND = (
    "{p}",
    "{p} AND ({p} AND {p})",
    "({p} OR {p}) AND NOT ({p})",
    "({p}) = ({p})",
    "({p}) IS NOT DISTINCT FROM ({p})",
    "CASE WHEN {p} THEN {p} ELSE NOT ({p}) END",
)
GENERATED: tuple[tuple[Kind, str], ...] = (
    (lambda: String(90), "upper(v) || {s}"),
    (generic.Text, "coalesce(x, {s})"),
    (lambda: String(90), "CASE WHEN {p} THEN {s} ELSE v END"),
    (lambda: generic.Numeric(9, 2), "n * 1.1"),
    (generic.Integer, "i + length({s})"),
    (lambda: ARRAY(generic.Text), "ARRAY[v, {s}]"),
    (lambda: ARRAY(String(90)), "string_to_array(x, {s})"),
    (lambda: ARRAY(String(90)), "va || ARRAY[{s}]::varchar[]"),
    (pg.TSVECTOR, "to_tsvector('english', x) || tv"),
    (generic.Date, "d + 1"),
    (generic.Boolean, "{p}"),
    (lambda: pg.DOMAIN("word", String(20), check="VALUE NOT IN ('bad', 'x')"), "lower(dm)"),
)
DEFAULTS: tuple[tuple[Kind, str], ...] = (
    (lambda: String(90), "{s}"),
    (generic.Text, "{s} || {s}"),
    (lambda: generic.CHAR(90), "{s}"),
    (lambda: generic.Numeric(4, 2), "1.50::numeric(4, 2)"),
    (generic.Integer, "- 1 + length({s})"),
    (generic.Interval, "'1 day'::interval + '2:03'"),
    (generic.Date, "'2020-01-01'"),
    (lambda: generic.DateTime(timezone=True), "('2020-01-01 12:30'::timestamp AT TIME ZONE 'UTC')"),
    (pg.JSONB, """'{"a": ":b %"}'"""),
    (lambda: ARRAY(generic.Text), "ARRAY[{s}, {s}]"),
    (lambda: ARRAY(generic.Text), "CAST(ARRAY[{s}::varchar, 'a'] AS text[])"),
    (lambda: ARRAY(String(90)), "ARRAY[{s}, {s}]::varchar[]"),
    (lambda: Enum(*MOODS, name="mood"), "'it''s'"),
    (lambda: pg.DOMAIN("word", String(20), check="VALUE NOT IN ('bad', 'x')"), "'a:b'"),
    (generic.Boolean, "({s}::varchar IN ({s}, 'b'))"),
    (pg.INET, "'::1'"),
    (generic.LargeBinary, r"'\x00ff'"),
)


@dataclass(frozen=True)
class Declared:
    """The expressions that are declared; generated columns and defaults with the number of their kind."""

    checks: Sequence[str]
    predicates: Sequence[str]
    indexed: Sequence[str]
    shown: Sequence[str]
    generated: Sequence[tuple[int, str]]
    defaults: Sequence[tuple[int, str]]
    values: Sequence[str]
    """Defaults that are values, with no syntax to them."""

    def metadata(self, metadata: MetaData) -> object:
        """Declare them."""
        columns = [Column(name, kind()) for name, (kind, *_) in COLUMNS.items()]
        parts: list[Any] = [
            CheckConstraint(escape(expression), name=f"k{n}") for n, expression in enumerate(self.checks)
        ]
        parts += [
            Index(f"p{n}", "id", postgresql_where=text(escape(expression)))
            for n, expression in enumerate(self.predicates)
        ]
        parts += [Index(f"x{n}", text(escape(f"({expression})"))) for n, expression in enumerate(self.indexed)]
        for number, expression in self.generated:
            columns.append(Column(f"g{number}", GENERATED[number][0](), Computed(escape(expression), persisted=True)))
        for number, expression in self.defaults:
            columns.append(Column(f"d{number}", DEFAULTS[number][0](), server_default=text(escape(expression))))
        columns += [
            Column(f"s{n}", generic.Text, server_default=expression) for n, expression in enumerate(self.values)
        ]
        made = Table("t", metadata, Column("id", generic.Integer, primary_key=True), *columns, *parts)
        for n, expression in enumerate(self.shown):
            CreateView(select(made.c.id).where(text(escape(expression))), f"v{n}", metadata=metadata, **INVOKER)
        return made


CONSTANTS = st.lists(st.sampled_from(FRAGMENTS), max_size=3).map("".join)


@st.composite
def _filled(draw: st.DrawFn, template: str) -> str:
    while "{p}" in template:
        template = template.replace("{p}", draw(_simple()), 1)
    while "{s}" in template:
        template = template.replace("{s}", "'" + draw(CONSTANTS).replace("'", "''") + "'", 1)
    return template


@st.composite
def _simple(draw: st.DrawFn) -> str:
    template = draw(st.sampled_from(ABOUT_WORDS + ABOUT_OTHERS))
    return draw(_filled(template.replace("{w}", draw(st.sampled_from(WORDS)))))


PREDICATES = st.sampled_from(AROUND).flatmap(_filled)


def _typed(kinds: Sequence[tuple[Kind, str]]) -> st.SearchStrategy[tuple[int, str]]:
    return st.sampled_from(range(len(kinds))).flatmap(lambda n: st.tuples(st.just(n), _filled(kinds[n][1])))


def declarations(size: int) -> st.SearchStrategy[Declared]:
    """Draw declarations with this many expressions of each kind."""

    def some(one: st.SearchStrategy[Any], **options: Any) -> st.SearchStrategy[Any]:
        return st.lists(one, min_size=size, max_size=size, **options)

    kinds = (_typed(GENERATED), _typed(DEFAULTS))
    typed = (some(kind, unique_by=lambda drawn: drawn[0]) for kind in kinds)
    return st.builds(Declared, *[some(PREDICATES)] * 4, *typed, some(CONSTANTS))
