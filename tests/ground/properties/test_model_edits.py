"""Whatever is edited in the models: the migration makes it, nothing is left to generate, and it can be taken back."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from infra.config.sql_text import quote
from tests.ground.integration.autogenerate.changes import ANYBODY
from tests.ground.properties.edited_models import Model, TableOf, comes, renames
from tests.ground.properties.model_edits import histories
from tests.kit.cases import Cases

pytestmark = pytest.mark.one_backend

QUICK = settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # Each try takes seconds, and the edits of a failure are soon read: it is not made smaller.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
LONG = settings(QUICK, max_examples=30)

AS_ANYBODY = f"SET LOCAL app.tenant_id = '{ANYBODY}'"


def fill(cases: Cases, model: Model) -> None:
    """Give every filled table two rows, in which every column is 1 or 2."""
    filled = [model.tables[key] for key in sorted(model.tables) if model.tables[key].filled]
    rows = [_insert(table, number) for table in filled for number in (1, 2)]
    names = ", ".join(quote(table.name) for table in model.tables.values())
    cases.execute(*([f"TRUNCATE {names} CASCADE"] if names else []), AS_ANYBODY, *rows)


def _insert(table: TableOf, number: int) -> str:
    names = ["tenant_id", "id", *(quote(column.name) for column in table.columns.values() if column.generated is None)]
    values = [f"'{ANYBODY}'", *([f"'{number}'"] * (len(names) - 1))]
    return f"INSERT INTO {quote(table.name)} ({', '.join(names)}) VALUES ({', '.join(values)})"


def rows(cases: Cases, model: Model, other: Model) -> dict[int, list[Any]]:
    """Return what is in the tables of both models, in the columns that are the same in both."""
    return {
        key: cases.ask(
            f"{AS_ANYBODY}; SELECT {', '.join(_kept(model, other, key))} FROM {quote(table.name)} ORDER BY 1"
        )
        for key, table in model.tables.items()
        if key in other.tables
    }


def _kept(model: Model, other: Model, key: int) -> Iterator[str]:
    here, there = model.tables[key].columns, other.tables[key].columns
    yield "id"
    for number, column in here.items():
        if number in there and not comes(there, here, number) and not comes(here, there, number):
            yield f"{quote(column.name)}::text"


def walk(cases: Cases, history: list[Model]) -> None:
    """Go from model to model: there, back, and there again."""
    wanted = [cases.make(model.metadata()) for model in history]
    cases.run(cases.generate(history[0].metadata()).upgrade)
    cases.execute(f"INSERT INTO tenants VALUES ('{ANYBODY}')")
    assert cases.shape == wanted[0]
    for before, after, shape in zip(history[:-1], history[1:], wanted[1:], strict=True):
        fill(cases, before)
        former, kept = cases.catalogue, rows(cases, before, after)
        written = cases.generate(after.metadata(), renames(before, after))
        note(f"upgrade:\n    {written.upgrade}\ndowngrade:\n    {written.downgrade}")
        cases.run(written.upgrade)
        assert cases.shape == shape
        assert rows(cases, after, before) == kept
        assert cases.generate(after.metadata()).is_empty
        cases.run(written.downgrade)
        assert cases.catalogue == former
        assert rows(cases, before, after) == kept
        cases.run(written.upgrade)


@pytest.mark.parametrize("extent", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=["quick", "long"])
def test_edited_models_become_migrations_that_can_be_taken_back(extent: settings, cases: Cases) -> None:
    """Over ten tables, the catalogue becomes what is declared and goes back to what it was, and rows stay."""

    @extent
    @given(histories(3))
    def check(history: list[Model]) -> None:
        cases.connection.rollback()
        cases.reset()
        walk(cases, history)

    check()
