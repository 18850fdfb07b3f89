"""Rows for tenants, made up from the catalogue: parents first, CHECKs tried, factories where nothing else helps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from schema.isolation.facts import Catalogue, ForeignKey
from schema.isolation.probe.check_solver import CannotSynthesize, CheckSolver
from schema.isolation.probe.circles import groups
from schema.isolation.probe.factories import Factory, make_row
from schema.isolation.probe.insertion import Row, first_row, insert_at_once
from schema.isolation.probe.shapes import Shape
from schema.isolation.probe.values import make_up


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes rows of tenants in a clone, and remembers one of each table and tenant; None stands for all tenants."""

    catalogue: Catalogue
    shapes: Mapping[str, Shape]
    factories: Mapping[str, Factory]
    _made: dict[tuple[UUID | None, str], Row] = field(default_factory=dict)
    _accepted: dict[str, Row] = field(default_factory=dict)

    def groups(self) -> list[tuple[str, ...]]:
        """Return the tables that the application can reach, each after those that it must reference.

        What a partition or child holds comes through its parent. Tables that must reference each other are one group,
        whose rows are made by one statement.
        """
        needs = {table: [key.parent for key in self._needed_keys(table)] for table in self.shapes}
        return groups(needs, (table.name for table in self.catalogue.reachable_tables if not table.child))

    def made(self, table: str, tenant: UUID) -> Row | None:
        """Return the row that was made for a tenant, or for all of them where the table does not say whose it is."""
        return self._made.get((self._whose(table, tenant), table))

    def insert(self, connection: psycopg.Connection[Any], group: tuple[str, ...], tenant: UUID) -> None:
        """Make a row of each table of a group and remember it, with every value as the server holds it.

        Of a table that does not say whose its rows are any row will do, and one that is there.

        Raises:
            CannotSynthesize: a row is refused, whatever is tried.
        """
        for table in group:
            key = (self._whose(table, tenant), table)
            if key[0] is None and (there := first_row(connection, table, self.shapes[table])):
                self._made[key] = there
        missing = tuple(table for table in group if self.made(table, tenant) is None)
        rows = self._drafts(missing, tenant)
        mending = {table: CheckSolver(table, self.shapes[table]) for table in missing}
        while rows and any(self.made(table, tenant) is None for table in rows):
            try:
                with connection.transaction():
                    for table, row in insert_at_once(connection, rows, self.shapes).items():
                        self._made[self._whose(table, tenant), table] = row
            except psycopg.Error as error:
                refused = _refused_table(error, missing)
                mending[refused].refused(error)
                rows[refused].update(mending[refused].next())
        for table, row in rows.items():
            self._accepted[table] = self._checked(table, row)

    def compose(self, table: str, tenant: UUID) -> dict[str, Any]:
        """Return the values of a new row of a tenant, for an INSERT.

        Raises:
            CannotSynthesize: a column's type is not known, a parent's row could not be made, or the factory fails.
        """
        return self._drafts((table,), tenant)[table]

    def _drafts(self, group: tuple[str, ...], tenant: UUID) -> dict[str, dict[str, Any]]:
        given = {table: self._given_values(table, tenant) for table in group}
        rows = {table: {**self._make_up(table), **self._accepted.get(table, {}), **given[table]} for table in group}
        for _ in group:  # a value may be handed on along the whole circle
            for table in group:
                for key in self._needed_keys(table):
                    rows[table].update({**self._reference(key, tenant, rows), **given[table]})
        for table, row in rows.items():
            for column in self.shapes[table].columns.values():
                if column.needed and row.get(column.name) is None:
                    reason = f"no value of the type {column.type} can be made up for {column.name}"
                    raise CannotSynthesize(table, reason, (column.name,))
        return rows

    def _make_up(self, table: str) -> dict[str, Any]:
        needed = (column for column in self.shapes[table].columns.values() if column.needed)
        return {column.name: value for column in needed if (value := make_up(column)) is not None}

    def _given_values(self, table: str, tenant: UUID) -> dict[str, Any]:
        """Return what is not to be made up: what the factory returns, and whose the row is."""
        row = make_row(self.factories[table], table, tenant) if table in self.factories else {}
        return {**row, "tenant_id": str(tenant)} if "tenant_id" in self.shapes[table].columns else row

    def _reference(self, key: ForeignKey, tenant: UUID, rows: Mapping[str, dict[str, Any]]) -> Row:
        """Return the columns of a foreign key, with the values of the parent's row: made, or about to be."""
        draft = rows.get(key.parent)
        parent = self.made(key.parent, tenant) if draft is None else draft
        if parent is None:
            raise CannotSynthesize(
                key.table, f"there is no row of {key.parent} for {key.name} to point at", key.columns
            )
        if draft is not None:
            for name in key.parent_columns:
                if name not in draft:
                    draft[name] = self._beforehand(key, name)
        return {child: parent.get(own) for child, own in zip(key.columns, key.parent_columns, strict=True)}

    def _beforehand(self, key: ForeignKey, name: str) -> str | None:
        """Return a value for a column of a row that is pointed at before it is there, instead of its default."""
        column = self.shapes[key.parent].columns[name]
        if column.generated:
            reason = f"{key.name} must point at {key.parent}.{name}, which is generated when that row is there"
            raise CannotSynthesize(key.table, reason, key.columns)
        return make_up(column)

    def _needed_keys(self, table: str) -> Iterator[ForeignKey]:
        columns = self.shapes[table].columns
        for key in self.catalogue.foreign_keys:
            if key.table == table and all(columns[name].can_be_aimed for name in key.columns):
                yield key

    def _checked(self, table: str, row: Row) -> Row:
        """Return what the CHECKs of a table have accepted: another value might be refused, and not by a policy."""
        given = {"tenant_id", *(name for key in self._needed_keys(table) for name in key.columns)}
        names = {name for check in self.shapes[table].checks.values() for name in check.columns}
        return {name: row[name] for name in names - given if name in row}

    def _whose(self, table: str, tenant: UUID) -> UUID | None:
        return tenant if "tenant_id" in self.shapes[table].columns else None


def _refused_table(error: psycopg.Error, tables: tuple[str, ...]) -> str:
    """Return whose row the server refused; it names the table without its schema, or names none."""
    named = (table for table in tables if table.rpartition(".")[2].strip('"') == error.diag.table_name)
    return next(named, tables[0])
