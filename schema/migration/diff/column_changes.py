"""Declared against actual contents of a schema, and the statements between them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from infra.config.sql_text import literal, quote
from schema.migration.diff.objects import Column
from schema.migration.diff.spelling import reproducible
from schema.migration.diff.widening import holds_every_value

FORMER = "groundwork_former"
"""The name of an enum type or a sequence while it is being replaced."""

BECOMES_GENERATED = "what is in"
"""What is lost of a column that becomes a generated one begins so."""

Place = tuple[str, str]
"""A table and a column of it."""


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements of a migration, and those that undo them.

    `note` is said above them, `drops` names what is lost, and `narrows` says what may be.
    """

    upgrade: tuple[str, ...]
    downgrade: tuple[str, ...]
    note: str = ""
    drops: str = ""
    narrows: str = ""


def added_labels(former: Sequence[str], wanted: Sequence[str]) -> list[tuple[str, str]] | None:
    """Return the labels that are only to be added, each with the place that ALTER TYPE … ADD VALUE wants.

    None where a label is removed or moved: then the type is recreated.
    """
    if [label for label in wanted if label in former] != list(former):
        return None
    added, before = [], ""
    for number, label in enumerate(wanted):
        if label not in former:
            after = f" AFTER {literal(before)}" if before else ""
            following = next((kept for kept in wanted[number:] if kept in former), None)
            place = "" if following is None else after or f" BEFORE {literal(following)}"
            added.append((label, place))
        before = label
    return added


def replaced_enum(
    name: str, labels: Sequence[str], columns: Sequence[tuple[Place, Column, str | None]]
) -> Iterator[str]:
    """Yield the statements that make an enum type again with other labels; columns come with the default to set.

    A row that holds a label which is no longer there stops them (PostgreSQL manual, 8.7: labels cannot be removed).
    """
    yield f"ALTER TYPE {quote(name)} RENAME TO {FORMER}"
    yield create_enum(name, labels)
    for (table, column), found, default in columns:
        if found.default is not None:
            yield f"{_alter(table, column)} DROP DEFAULT"
        text = "text[]" if found.type.endswith("[]") else "text"
        yield f"{_alter(table, column)} TYPE {found.type} USING {quote(column)}::{text}::{found.type}"
        if default is not None:
            yield f"{_alter(table, column)} SET DEFAULT {reproducible(default)}"
    yield f"DROP TYPE {FORMER}"


def create_enum(name: str, labels: Sequence[str]) -> str:
    """Return the statement that makes an enum type."""
    return f"CREATE TYPE {quote(name)} AS ENUM ({', '.join(map(literal, labels))})"


def default_change(place: Place, former: Column, wanted: Column) -> Statements:
    """Return what changes a column's default."""
    return Statements(_set_default(place, wanted), _set_default(place, former))


def identity_change(place: Place, former: Column, wanted: Column) -> Statements:
    """Return what makes a column an identity column, another one, or one no longer.

    A serial one goes on counting, and a new one counts from beyond the rows: the owner has to see those of all tenants.
    """
    return Statements(_identified(place, former, wanted), _identified(place, wanted, former))


def _identified(place: Place, former: Column, wanted: Column) -> tuple[str, ...]:
    column = _alter(*place)
    # An identity column is never NULL, and Alembic leaves that to whoever compares identities.
    if not wanted.identity:
        gone = (f"{column} DROP IDENTITY", *((f"{column} DROP NOT NULL",) if wanted.nullable else ()))
        return _serial_again(place, wanted, gone) if wanted.serial else gone
    if not former.identity:
        made = (*((f"{column} SET NOT NULL",) if former.nullable else ()), f"{column} ADD {wanted.identity_clause}")
        return _serial_no_longer(place, former, made) if former.serial else (*made, _counting_beyond(place, wanted))
    (was, *before), (when, *options) = former.identity.split(", "), wanted.identity.split(", ")
    changed = [*([f"GENERATED {when}"] if when != was else ()), *(option for option in options if option not in before)]
    return (f"{column} {' '.join(f'SET {one}' for one in changed)}",)


def _serial_no_longer(place: Place, former: Column, made: Iterable[str]) -> tuple[str, ...]:
    return (
        f"{_alter(*place)} DROP DEFAULT",
        f"ALTER SEQUENCE {quote(former.serial)} OWNED BY NONE",
        f"ALTER SEQUENCE {quote(former.serial)} RENAME TO {FORMER}",
        *made,
        _counting_on(_own_sequence(place), f"'{FORMER}'"),
        f"DROP SEQUENCE {FORMER}",
    )


def _serial_again(place: Place, wanted: Column, gone: Iterable[str]) -> tuple[str, ...]:
    sequence, (table, column) = quote(wanted.serial), place
    return (
        f"CREATE SEQUENCE {FORMER} AS {wanted.type}",
        _counting_on(f"'{FORMER}'", _own_sequence(place)),
        *gone,
        f"ALTER SEQUENCE {FORMER} RENAME TO {sequence}",
        f"ALTER SEQUENCE {sequence} OWNED BY {quote(table)}.{quote(column)}",
        f"{_alter(*place)} SET DEFAULT nextval({literal(sequence)})",
    )


def _counting_on(sequence: str, former: str) -> str:
    """Let a sequence go on where another is; one that gave out nothing has no last value."""
    last = f"pg_sequence_last_value({former})"
    return f"SELECT setval({sequence}, coalesce({last}, 1), {last} IS NOT NULL)"


def _counting_beyond(place: Place, wanted: Column) -> str:
    """Let the sequence of a new identity column start where it is declared to, or else beyond what the rows hold."""
    options = dict(option.rsplit(" ", 1) for option in wanted.identity.split(", ") if option[-1:].isdigit())
    forward, column = int(options["INCREMENT BY"]) > 0, quote(place[1])
    used = f"max({column}) + 1" if forward else f"min({column}) - 1"
    first = f"{'greatest' if forward else 'least'}({used}, {options['START WITH']})"
    return f"SELECT setval({_own_sequence(place)}, {first}, false) FROM {quote(place[0])}"  # noqa: S608 - quoted


def _own_sequence(place: Place) -> str:
    return f"pg_get_serial_sequence({literal(quote(place[0]))}, {literal(place[1])})"


def type_change(place: Place, former: Column, wanted: Column, using: str, back: str) -> Statements:
    """Return what changes a column's type, and with it the default; `using` and `back` convert what is there."""
    # Written as SQL and not by `op.alter_column`: what guards the rows reads the types in PostgreSQL's own words.
    narrows = "" if holds_every_value(former.type, wanted.type) else _narrows(place, former, wanted)
    upgrade, downgrade = _retyped(place, former, wanted, using), _retyped(place, wanted, former, back)
    return Statements(upgrade, downgrade, narrows, narrows=narrows)


def _narrows(place: Place, former: Column, wanted: Column) -> str:
    return (
        f"{'.'.join(place)} becomes {wanted.type}, which may not hold every value of {former.type}: `invoke migrate` "
        "looks at the rows of all tenants, and refuses where one would be another value."
    )


def generated_change(place: Place, former: Column, wanted: Column) -> tuple[Statements, ...]:
    """Return what changes how a column is generated: one change in place, or what to drop first and to add last.

    Only leaving it as it is can be said of a column that is there (PostgreSQL 16 manual, ALTER TABLE, DROP
    EXPRESSION), so any other change drops it and adds it again.
    """
    if wanted.generated is None and wanted.declaration == former.declaration:
        kept = (f"{_alter(*place)} DROP EXPRESSION", *(_set_default(place, wanted) if wanted.default else ()))
        return (Statements(kept, (_drop(place), *former.add(*place))),)
    computed = former.generated is not None
    what = "computed again for every row" if computed else "what it holds is lost"
    note = f"{'.'.join(place)} cannot be changed in place: it is dropped and added again, and {what}."
    drops = "" if computed else f"{BECOMES_GENERATED} {'.'.join(place)}"
    return (
        Statements((_drop(place),), former.add(*place), note, drops),
        Statements(wanted.add(*place), (_drop(place),)),
    )


def _drop(place: Place) -> str:
    return f"ALTER TABLE {quote(place[0])} DROP COLUMN {quote(place[1])}"


def _retyped(place: Place, former: Column, wanted: Column, using: str) -> tuple[str, ...]:
    table, column = place
    converted = f" USING {using}" if using else ""
    return (
        *((f"{_alter(table, column)} DROP DEFAULT",) if former.default is not None else ()),
        f"{_alter(table, column)} TYPE {wanted.declaration}{converted}",
        # A sequence keeps its type, and with it its end (PostgreSQL manual, ALTER SEQUENCE).
        *((f"ALTER SEQUENCE {quote(former.serial)} AS {wanted.type}",) if _counts(former, wanted) else ()),
        *(_set_default(place, wanted) if wanted.default is not None else ()),
    )


def _counts(former: Column, wanted: Column) -> bool:
    return bool(former.serial) and wanted.type in {"smallint", "integer", "bigint"}


def _set_default(place: Place, column: Column) -> tuple[str, ...]:
    action = "DROP DEFAULT" if column.default is None else f"SET DEFAULT {reproducible(column.default)}"
    return (f"{_alter(*place)} {action}",)


def _alter(table: str, column: str) -> str:
    return f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(column)}"
