"""Random edits of ten tenant tables, as hypothesis strategies."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import strategies as st

from tests.ground.properties.edited_models import (
    CHECKS,
    COMPUTED,
    GENERATED,
    INDEXES,
    PLAIN,
    WHOLE,
    WORDS,
    ColumnOf,
    Model,
    TableOf,
    ViewOf,
    is_possible,
    is_sound,
)

T = TypeVar("T")
Edit = Callable[["Choice", Model], Model]


class NothingToChoose(Exception):
    """An edit has nothing to be made on."""


class Choice:
    """Draws one of what there is; of the tables, only of some, so that edits meet."""

    def __init__(self, draw: st.DrawFn, tables: Sequence[int]) -> None:
        self._draw = draw
        self._tables = tables

    def one(self, options: Iterable[T]) -> T:
        """Return one of the options."""
        every = list(options)
        if not every:
            raise NothingToChoose
        return self._draw(st.sampled_from(every))

    def table(self, model: Model) -> int:
        """Return the key of a table."""
        return self.one(key for key in model.tables if key in self._tables or key not in range(10))

    def column(self, model: Model, suits: Callable[[ColumnOf], bool] = lambda _: True) -> tuple[int, int]:
        """Return the keys of a table and of a column."""
        table = self.table(model)
        return table, self.one(key for key, column in model.tables[table].columns.items() if suits(column))


def first() -> Model:
    """Return the ten tables that every history begins with: every second one holds rows."""
    columns = {
        0: ColumnOf("c0", nullable=False),
        1: ColumnOf("c1", "text", index=True),
        2: ColumnOf("c2", "e0", default="1", check=0),
        3: ColumnOf("c3", "bigint", generated=(0, 0)),
    }
    tables = {key: TableOf(f"t{key}", key % 2 == 0, columns) for key in range(10)}
    tables[4] = replace(tables[4], columns={**columns, 0: ColumnOf("c0", nullable=False, parent=2)})
    tables[5] = replace(tables[5], columns={**columns, 0: ColumnOf("c0", parent=4, ondelete="CASCADE")})
    return Model(tables, {"e0": ("1", "2", "a"), "e1": ("1", "it's", "2")}, {"v0": ViewOf(0, 1, 0)}, {"s0": 1}, 10)


def _add_table(_: Choice, model: Model) -> Model:
    made = TableOf(f"t{model.next}", filled=False, columns={0: ColumnOf("c0"), 1: ColumnOf("c1", "e1", index=True)})
    return replace(model, tables={**model.tables, model.next: made}, next=model.next + 1)


def _drop_table(choice: Choice, model: Model) -> Model:
    gone = choice.table(model)
    for table, of in model.tables.items():
        for key, column in of.columns.items():
            if column.parent == gone:
                model = model.with_column(table, key, parent=None)
    tables = {key: table for key, table in model.tables.items() if key != gone}
    return replace(model, tables=tables, views={n: v for n, v in model.views.items() if v.table != gone})


def _rename_table(choice: Choice, model: Model) -> Model:
    return replace(model.with_table(choice.table(model), name=f"t{model.next}"), next=model.next + 1)


def _comment_table(choice: Choice, model: Model) -> Model:
    return model.with_table(choice.table(model), comment=choice.one(["", "it's", "100 % :n"]))


def _police(choice: Choice, model: Model) -> Model:
    table, key = choice.column(model)
    return model.with_table(table, policy=choice.one([None, key]))


def _add_column(choice: Choice, model: Model) -> Model:
    table = choice.table(model)
    kind = choice.one([*PLAIN, *model.enums])
    made = ColumnOf(f"c{model.next}", kind, choice.one([True, False]), choice.one(["", "1"]))
    columns = {**model.tables[table].columns, model.next: made}
    return replace(model.with_table(table, columns=columns), next=model.next + 1)


def _drop_column(choice: Choice, model: Model) -> Model:
    table, gone = choice.column(model)
    kept = {
        key: replace(column, generated=None) if column.generated and column.generated[0] == gone else column
        for key, column in model.tables[table].columns.items()
        if key != gone
    }
    policy = model.tables[table].policy
    model = model.with_table(table, columns=kept, policy=None if policy == gone else policy)
    return replace(model, views={n: v for n, v in model.views.items() if (v.table, v.column) != (table, gone)})


def _rename_column(choice: Choice, model: Model) -> Model:
    return replace(model.with_column(*choice.column(model), name=f"c{model.next}"), next=model.next + 1)


def _set(name: str, options: Sequence[Any], suits: Callable[[ColumnOf], bool] = lambda _: True) -> Edit:
    return lambda choice, model: model.with_column(*choice.column(model, suits), **{name: choice.one(options)})


def _retype(choice: Choice, model: Model) -> Model:
    table, key = choice.column(model)
    kind = model.tables[table].columns[key].kind
    near = [*PLAIN] if kind in PLAIN else ["text", "varchar"]
    near += [*model.enums] if kind in WORDS else []
    return model.with_column(table, key, kind=choice.one(other for other in near if other != kind))


def _set_default(choice: Choice, model: Model) -> Model:
    made = [f"nextval('{name}')" for name in model.sequences]
    return model.with_column(*choice.column(model), default=choice.one(["", "1", "2", COMPUTED, *made]))


def _generate(choice: Choice, model: Model) -> Model:
    table, key = choice.column(model, lambda column: column.kind in WHOLE)
    source = choice.one(other for other in model.tables[table].columns if other != key)
    made = choice.one([None, *((source, number) for number in range(len(GENERATED)))])
    return model.with_column(table, key, generated=made, default="")


def _reference(choice: Choice, model: Model) -> Model:
    table, key = choice.column(model, lambda column: column.kind in WHOLE)
    parent = choice.one([None, *(other for other in model.tables if other < table)])
    return model.with_column(table, key, parent=parent, ondelete=choice.one([None, "CASCADE", "SET NULL"]))


def _relabel(choice: Choice, model: Model) -> Model:
    name = choice.one(model.enums)
    labels = list(model.enums[name])
    how = choice.one(["insert", "insert", "remove", "move"])
    place = choice.one(range(len(labels)))
    if how == "insert":
        labels.insert(choice.one(range(len(labels) + 1)), f"l{model.next}")
    else:
        taken = labels.pop(place)
        if how == "move":
            labels.insert(choice.one(range(len(labels) + 1)), taken)
    return replace(model, enums={**model.enums, name: tuple(labels)}, next=model.next + 1)


def _add_enum(choice: Choice, model: Model) -> Model:
    name = f"e{model.next}"
    changed = replace(model, enums={**model.enums, name: ("1", "2", "b")}, next=model.next + 1)
    return changed.with_column(*choice.column(model, lambda column: column.kind in {"text", "varchar"}), kind=name)


def _view(choice: Choice, model: Model) -> Model:
    name = choice.one([*model.views, f"v{model.next}"])
    views = {other: view for other, view in model.views.items() if other != name}
    if choice.one([True, True, False]):
        views[name] = ViewOf(*choice.column(model), choice.one([0, 1]))
    return replace(model, views=views, next=model.next + 1)


def _sequence(choice: Choice, model: Model) -> Model:
    name = choice.one([*model.sequences, f"s{model.next}"])
    sequences = {other: step for other, step in model.sequences.items() if other != name}
    if choice.one([True, True, False]):
        sequences[name] = choice.one([1, 2, 5])
    model = replace(model, sequences=sequences, next=model.next + 1)
    for table, of in model.tables.items():
        for key, column in of.columns.items():
            if name in column.default and name not in sequences:
                model = model.with_column(table, key, default="")
    return model


EDITS: dict[str, Edit] = {
    "add table": _add_table,
    "drop table": _drop_table,
    "rename table": _rename_table,
    "comment table": _comment_table,
    "policy": _police,
    "add column": _add_column,
    "drop column": _drop_column,
    "rename column": _rename_column,
    "nullable": _set("nullable", [True, False]),
    "comment": _set("comment", ["", "a", "it's"]),
    "unique": _set("unique", [True, False]),
    "index": _set("index", [True, False]),
    "special index": _set("special", [None, *range(len(INDEXES))]),
    "check": _set("check", [None, *range(len(CHECKS))]),
    "type": _retype,
    "default": _set_default,
    "generated": _generate,
    "foreign key": _reference,
    "enum": _relabel,
    "new enum": _add_enum,
    "view": _view,
    "sequence": _sequence,
}


@st.composite
def histories(draw: st.DrawFn, steps: int) -> list[Model]:
    """Draw models of which each is made of the one before by one to five edits that can be done and undone."""
    every = [first()]
    for _ in range(draw(st.integers(1, steps))):
        every.append(_edited(draw, every[-1]))
    return every


def _edited(draw: st.DrawFn, model: Model) -> Model:
    edited = replace(model, edits=())
    choice = Choice(draw, draw(st.lists(st.sampled_from([*model.tables]), min_size=2, max_size=2)))
    for name in draw(st.lists(st.sampled_from([*EDITS]), min_size=3, max_size=8)):
        try:
            changed = EDITS[name](choice, edited)
        except NothingToChoose:
            continue
        if is_sound(changed) and is_possible(model, changed):
            edited = replace(changed, edits=(*changed.edits, name))
    return edited
