"""Which keys of a tenant table keep tenants apart and can be used; pure decisions on declared tables."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Index, Table, UniqueConstraint

TENANT = "tenant_id"
_REASON = "unique_across_tenants"


def with_reason(reason: str) -> dict[str, str]:
    """Return the note on a constraint that is unique across tenants on purpose."""
    return {_REASON: reason}


def leads_with_tenant(key: Any) -> bool:
    """Return whether a constraint or an index begins with the tenant."""
    first = next(iter(key.expressions if isinstance(key, Index) else key.columns), None)
    return isinstance(first, Column) and first.name == TENANT


def offences(table: Table, is_tenant_table: Callable[[Table], bool]) -> Iterator[str]:
    """Say what in a tenant table's declaration would not keep tenants apart, and what to write instead."""
    if table.schema is not None:
        yield f"{table.fullname}: a tenant table lies in schema public. Leave `schema` out."
    if table.c[TENANT].nullable:
        yield f"{table.name}.{TENANT} may be NULL, and such a row has no tenant. Leave the column to TenantMixin."
    if not leads_with_tenant(table.primary_key):
        yield f"{table.name}: the primary key does not lead with {TENANT}. Leave that column to TenantMixin."
    yield from _counted(table)
    yield from _unique(table)
    constraints = sorted(table.foreign_key_constraints, key=lambda key: list(key.column_keys))
    yield from _twice(table, constraints)
    for constraint in constraints:
        yield from _foreign_key(table, constraint, is_tenant_table)


def _twice(table: Table, constraints: list[ForeignKeyConstraint]) -> Iterator[str]:
    # They would have one name, which the database has once.
    declared = Counter(
        (", ".join(c.column_keys), ", ".join(element.target_fullname for element in c.elements)) for c in constraints
    )
    for (columns, targets), times in declared.items():
        if times > 1:
            own = " TenantMixin has declared it: leave it to the mixin." if columns == TENANT else " Keep one of them."
            yield f"{table.name}: the foreign key on {columns} to {targets} is declared {times} times.{own}"


def _counted(table: Table) -> Iterator[str]:
    # An identity column counts without rights on its sequence (PostgreSQL manual, CREATE TABLE: GENERATED).
    counted = table.autoincrement_column
    if counted is not None and counted.server_default is None and counted.default is None:
        yield (
            f"{table.name}.{counted.name} would be counted by a sequence that the application may not use. Write "
            "mapped_column(Identity(), primary_key=True)."
        )


def _unique(table: Table) -> Iterator[str]:
    keys = [c for c in table.constraints if isinstance(c, UniqueConstraint) and _REASON not in c.info]
    indexes = [index for index in table.indexes if index.unique and _REASON not in index.info]
    every: list[UniqueConstraint | Index] = [*keys, *indexes]
    for key in every:
        if not leads_with_tenant(key):
            columns = ", ".join(f'"{column.name}"' for column in key.columns if column.name != TENANT)
            instead = f"tenant_index({columns}, unique=True)" if isinstance(key, Index) else f"tenant_unique({columns})"
            what = "unique index" if isinstance(key, Index) else "unique constraint"
            yield (
                f"{table.name}: the {what} on {columns} does not lead with {TENANT}, so it tells one tenant what "
                f"another one has. Write {instead}, or unique_across_tenants(…, reason=…) where that is meant."
            )


def _foreign_key(
    table: Table, constraint: ForeignKeyConstraint, is_tenant_table: Callable[[Table], bool]
) -> Iterator[str]:
    targets = [element.target_fullname for element in constraint.elements]
    parent = table.metadata.tables.get(targets[0].rpartition(".")[0])
    if parent is None or not is_tenant_table(parent):
        return  # a table that is not declared is reported by SQLAlchemy
    pairs = [(c, t.rpartition(".")[2]) for c, t in zip(constraint.column_keys, targets, strict=True)]
    own = [(column, target) for column, target in pairs if column != TENANT]
    if pairs[0] != (TENANT, TENANT):
        yield (
            f"{table.name}: the foreign key on {', '.join(column for column, _ in pairs)} can reference a row of "
            f"another tenant in {parent.name}. Write {_code_for(parent.name, own)}."
        )
    elif own and (constraint.ondelete or "").upper() in {"SET NULL", "SET DEFAULT"}:
        option = f', ondelete="{constraint.ondelete}"'
        yield (
            f"{table.name}: ON DELETE {constraint.ondelete} of the foreign key to {parent.name} would take away "
            f"{TENANT} too. Write {_code_for(parent.name, own, option)}."
        )


def _code_for(parent: str, pairs: list[tuple[str, str]], options: str = "") -> str:
    if len(pairs) == 1:
        return f'tenant_foreign_key("{pairs[0][0]}", "{parent}.{pairs[0][1]}"{options})'
    columns = ", ".join(f'"{column}"' for column, _ in pairs)
    targets = ", ".join(f'"{parent}.{target}"' for _, target in pairs)
    return f"tenant_foreign_key(({columns}), ({targets}){options})"
