"""Texts that differ and mean the same: PostgreSQL is asked what it makes of its own text, until that stays as it is.

What PostgreSQL writes down of an expression may become another text when it is read again, as when a dump is restored
or a column changes its type (`schema.migration.diff.spelling`). So where what is there and what is declared differ in
the text of expressions alone, both are made once more of their texts, each beside the columns that it names, until
nothing changes any more. What ends in one text means the same. This costs nothing where nothing differs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from infra.config.sql_text import quote
from schema.migration.diff.catalog import read_contents
from schema.migration.diff.domains import Domain
from schema.migration.diff.objects import Column, Constraint, Contents, Generated, Index, Key, Part, View
from schema.migration.diff.rls.catalog import PROBE, read_tables, run_each, run_script, throw_away_schema
from schema.tenancy.policies import Policy

_ROUNDS = 4
_DEFAULTS = "groundwork_defaults"
"""A table for columns with a default: it names no other column."""

Expressed = Constraint | Index | View | Generated | Part | Domain
"""What holds expressions. A column stands as `Generated`, whether it is generated or has a default."""
Texts = tuple[str | None, ...]


def open_questions(actual: Contents, wanted: Contents) -> dict[Key, tuple[Expressed, Expressed]]:
    """Return what is there and what is declared where they differ in the text of expressions alone, by key."""
    pairs: list[tuple[object, object]] = [(obj, wanted.objects.get(key)) for key, obj in actual.objects.items()]
    pairs += [(obj, wanted.domains.get(name)) for name, obj in actual.domains.items()]
    for place, column in actual.columns.items():
        if (declared := wanted.columns.get(place, column)) != column:
            pairs.append((Generated(*place, column), Generated(*place, declared)))
    return {
        obj.key: (obj, other)
        for obj, other in pairs
        if isinstance(obj, Expressed) and isinstance(other, type(obj)) and obj != other and _differ_in_text(obj, other)
    }


def fixed_points(connection: Connection, expressed: Iterable[Expressed]) -> dict[Key, Texts]:
    """Return the texts that each comes to in the throw-away schema, which holds the tables of all but views.

    What cannot be made of its own text is left out.
    """
    run_script(connection, [f"CREATE TABLE IF NOT EXISTS {_DEFAULTS} ()"])
    current = {obj.key: _standing(obj, f"groundwork_{number}") for number, obj in enumerate(expressed)}
    for _ in range(_ROUNDS):
        former, current = current, _make_again(connection, current)
        if all(_texts(obj) == _texts(former[key]) for key, obj in current.items()):
            break
    return {key: _texts(obj) for key, obj in current.items()}


def fixed_points_there(connection: Connection, actual: Contents, expressed: Sequence[Expressed]) -> dict[Key, Texts]:
    """Return the same of what is there, beside copies of its tables with the key that a view may depend on."""
    keys = {key.table: key for key in actual.objects.values() if isinstance(key, Constraint) and key.kind == "p"}
    tables = dict.fromkeys(obj.key[1] for obj in expressed if not isinstance(obj, View | Domain))
    with throw_away_schema(connection):
        for table in tables:
            key = keys[table].create() if table in keys else ()
            run_script(connection, [f"CREATE TABLE {quote(table)} (LIKE public.{quote(table)})", *key])
        return fixed_points(connection, expressed)


def same_policies(
    connection: Connection, tables: Iterable[str], pairs: Iterable[tuple[str, Policy, Policy]]
) -> set[tuple[str, str]]:
    """Return the tables and names of the policies, as they are and as they are declared, that mean the same.

    `tables` are the statements that make the declared tables.
    """
    parts = [(Part(table, former), Part(table, other)) for table, former, other in pairs]
    questions = [(former, other) for former, other in parts if _differ_in_text(former, other)]
    if not questions:
        return set()
    with throw_away_schema(connection):
        run_script(connection, [*dict.fromkeys(tables)])
        theirs, ours = (fixed_points(connection, side) for side in zip(*questions, strict=True))
    return {(table, name) for (_, table, name), texts in theirs.items() if ours.get(("policy", table, name)) == texts}


def in_words_of(wanted: Contents, found: Iterable[Expressed]) -> Contents:
    """Return what is declared with these, which mean the same, in the words of what is there."""
    objects, columns, domains = dict(wanted.objects), dict(wanted.columns), dict(wanted.domains)
    for obj in found:
        if isinstance(obj, Generated):
            place = (obj.table, obj.name)
            columns[place] = replace(columns[place], default=obj.column.default, generated=obj.column.generated)
        elif isinstance(obj, Domain):
            domains[obj.name] = obj
        else:
            objects[obj.key] = obj
    return replace(wanted, objects=objects, columns=columns, domains=domains)


def _differ_in_text(obj: Expressed, other: Expressed) -> bool:
    """Return whether nothing but an expression differs; a materialized view cannot be made otherwise in its place."""
    return _without_text(obj) == _without_text(other) and not (isinstance(obj, View) and obj.materialized)


def _texts(obj: Expressed) -> Texts:
    match obj:
        case Generated():
            return obj.column.default, obj.column.generated
        case Part(part=Policy() as policy):
            return policy.using, policy.check
        case Part():
            return ()
        case Domain():
            return obj.default, *(obj.constraints[name] for name in sorted(obj.constraints))
        case _:
            return (obj.definition,)


def _without_text(obj: Expressed) -> Expressed:
    match obj:
        case Generated(column=column):
            default, generated = (text and "" for text in (column.default, column.generated))
            return replace(obj, column=replace(column, default=default, generated=generated))
        case Part(part=Policy() as policy):
            using, check = (text and "" for text in (policy.using, policy.check))
            return replace(obj, part=replace(policy, using=using, check=check))
        case Part():
            return obj
        case Domain():
            return replace(obj, default=obj.default and "", constraints=dict.fromkeys(obj.constraints, ""))
        case _:
            return replace(obj, definition="")


def _standing(obj: Expressed, name: str) -> Expressed:
    """Return what is made in its place: beside a column or a domain that is there, another one."""
    if isinstance(obj, Domain):
        return replace(obj, name=name)
    if not isinstance(obj, Generated):
        return obj
    return replace(obj, table=obj.table if obj.column.generated else _DEFAULTS, name=name)


def _make_again(connection: Connection, current: Mapping[Key, Expressed]) -> dict[Key, Expressed]:
    """Make each of its texts, and return what PostgreSQL wrote down of those that could be made."""
    refused = run_each(connection, [(key, tuple(_script(obj))) for key, obj in current.items()])
    contents, parts = read_contents(connection, PROBE), read_tables(connection, PROBE)
    found: dict[Key, Expressed] = {}
    for obj in (
        *contents.objects.values(),
        *contents.domains.values(),
        *(Generated(*place, column) for place, column in contents.columns.items()),
        *(Part(table, part) for table, every in parts.items() for part in every if isinstance(part, Policy)),
    ):
        if isinstance(obj, Expressed):
            found[obj.key] = obj
    return {key: found[obj.key] for key, obj in current.items() if key not in refused}


def _script(obj: Expressed) -> Iterator[str]:
    """Yield the statements that make something of its very text, in the place of what is there of that name."""
    _, table, name = map(quote, obj.key)
    match obj:
        case Constraint():
            yield f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"
            yield f"ALTER TABLE {table} ADD CONSTRAINT {name} {obj.definition}"
        case Index():
            yield f"DROP INDEX IF EXISTS {PROBE}.{name}"
            yield obj.definition
        case View():
            yield f"CREATE OR REPLACE VIEW {name} AS {obj.definition}"
        case Domain():
            yield f"DROP DOMAIN IF EXISTS {name}"
            yield from obj.create(spelled=str)
        case Part():
            yield f"DROP POLICY IF EXISTS {name} ON {table}"
            yield from obj.part.create(obj.table)
        case Generated():
            yield f"ALTER TABLE {table} DROP COLUMN IF EXISTS {name}"
            yield f"ALTER TABLE {table} ADD COLUMN {name} {obj.column.declaration} {_source(obj.column)}"


def _source(column: Column) -> str:
    if column.generated is None:
        return f"DEFAULT {column.default}"
    return f"GENERATED ALWAYS AS ({column.generated}) STORED"
