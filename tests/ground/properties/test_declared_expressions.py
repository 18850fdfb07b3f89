"""Whatever expressions are declared: they mean that in the database, and nothing is left to generate."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from sqlalchemy.dialects import postgresql

from tests.ground.integration.autogenerate.changes import declared
from tests.ground.properties.declared_expressions import COLUMNS, DEFAULTS, GENERATED, Declared, Kind, declarations
from tests.kit.cases import Cases

pytestmark = pytest.mark.one_backend

QUICK = settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # Each try takes a second, and what a failure names is one of the expressions that are printed.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
LONG = settings(QUICK, max_examples=40)

# What is stored of an expression, by what holds it, in PostgreSQL's words.
STORED = """
    SELECT conname, pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'c'
    UNION ALL
    SELECT relname, coalesce(pg_get_expr(indpred, indrelid), pg_get_expr(indexprs, indrelid))
    FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = 't'::regclass AND NOT indisprimary
    UNION ALL
    SELECT attname, format('CAST(%s AS %s)', pg_get_expr(adbin, adrelid), format_type(atttypid, atttypmod))
    FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
    WHERE adrelid = 't'::regclass AND attname <> 'id'
"""


def literal(value: str) -> str:
    """Write a constant."""
    return "'" + value.replace("'", "''") + "'"


def of_its_type(expression: str, kind: Kind) -> str:
    """Cast an expression to the type of its column: a constant has none of its own."""
    return f"CAST({expression} AS {kind().compile(postgresql.dialect())})"  # type: ignore[no-untyped-call]  # SQLAlchemy's gap


def said(models: Declared) -> dict[str, str]:
    """Return what was declared, as it can be asked, by what holds it."""
    return {
        **{f"ck_t_k{n}": expression for n, expression in enumerate(models.checks)},
        **{f"p{n}": expression for n, expression in enumerate(models.predicates)},
        **{f"x{n}": expression for n, expression in enumerate(models.indexed)},
        **{f"g{number}": of_its_type(expression, GENERATED[number][0]) for number, expression in models.generated},
        **{f"d{number}": of_its_type(expression, DEFAULTS[number][0]) for number, expression in models.defaults},
        **{f"s{n}": literal(expression) for n, expression in enumerate(models.values)},
    }


def values(cases: Cases, expressions: dict[str, str]) -> dict[str, list[Any]]:
    """Return what expressions come to, in rows of values, of nulls and of each by turns."""
    names, every = ", ".join(COLUMNS), [value for *_, value in COLUMNS.values()]
    typed = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, (_, kind, _) in COLUMNS.items())
    rows = [
        every,
        ["NULL"] * len(every),
        *([v if n % 2 == odd else "NULL" for n, v in enumerate(every)] for odd in (0, 1)),
    ]
    table = f"SELECT {typed} WHERE false"
    for row in rows:
        cast = (f"CAST({value} AS {kind})" for value, (_, kind, _) in zip(row, COLUMNS.values(), strict=True))
        table += f" UNION ALL SELECT {', '.join(cast)}"
    found = {}
    for name, expression in expressions.items():
        question = f"WITH r ({names}) AS ({table}) SELECT ({expression})::text FROM r"
        found[name] = [value for (value,) in cases.ask_plainly(question)]
    return found


def walk(cases: Cases, before: Declared, after: Declared) -> None:
    """Go from one to the other and back, and there again."""
    former, wanted = (declared(models.metadata) for models in (before, after))
    shapes = [cases.make(shape) for shape in (former, wanted)]
    cases.run(cases.generate(former).upgrade)
    assert cases.shape == shapes[0]
    assert cases.generate(former).is_empty
    at_first = cases.catalogue
    written = cases.generate(wanted)
    note(f"upgrade:\n    {written.upgrade}\ndowngrade:\n    {written.downgrade}")
    cases.run(written.upgrade)
    assert cases.shape == shapes[1]
    assert cases.generate(wanted).is_empty
    assert values(cases, dict(cases.ask_plainly(STORED))) == values(cases, said(after))
    made = cases.catalogue
    cases.run(written.downgrade)
    assert cases.catalogue == at_first
    assert cases.generate(former).is_empty
    cases.run(written.upgrade)
    assert cases.catalogue == made


@pytest.mark.parametrize("extent", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=["quick", "long"])
def test_declared_expressions_are_what_the_database_has(extent: settings, cases: Cases) -> None:
    """They come to the same values, are a fixed point for `generate`, and every way there and back gives one dump."""

    @extent
    @given(declarations(6), declarations(6))
    def check(before: Declared, after: Declared) -> None:
        cases.connection.rollback()
        cases.reset()
        walk(cases, before, after)

    check()
