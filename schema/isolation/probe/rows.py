"""Rows for tenants, made up from the catalogue: parents first, CHECKs tried, factories where nothing else helps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from schema.isolation.catalogue import Catalogue, ForeignKey
from schema.isolation.probe.factories import Factory
from schema.isolation.probe.mending import Mending, Unmade
from schema.isolation.probe.shapes import Column, Shape
from schema.isolation.probe.values import made_up

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes rows of tenants in a clone, and remembers one of each table and tenant; None stands for all tenants."""

    catalogue: Catalogue
    shapes: Mapping[str, Shape]
    factories: Mapping[str, Factory]
    _made: dict[tuple[UUID | None, str], Row] = field(default_factory=dict)
    _accepted: dict[str, Row] = field(default_factory=dict)

    def tables(self) -> tuple[str, ...]:
        """Return the tables that the application can reach, each behind those that it must reference.

        What a partition or child holds comes through its parent. Of a circle one table comes too early, and its row
        cannot be made.
        """
        order: dict[str, None] = {}
        seen: set[str] = set()

        def place(table: str) -> None:
            if table not in seen:
                seen.add(table)
                for key in self._needed_keys(table):
                    place(key.parent)
                order[table] = None

        for relation in self.catalogue.reachable_tables:
            if not relation.child:
                place(relation.name)
        return tuple(order)

    def made(self, table: str, tenant: UUID) -> Row | None:
        """Return the row that was made for a tenant, or for all of them where the table does not say whose it is."""
        return self._made.get((self._whose(table, tenant), table))

    def insert(self, connection: psycopg.Connection[Any], table: str, tenant: UUID) -> None:
        """Make a row and remember it, with every value as the server holds it.

        Of a table that does not say whose its rows are any row will do, and one that is there.

        Raises:
            Unmade: the row is refused, whatever is tried.
        """
        shape, key = self.shapes[table], (self._whose(table, tenant), table)
        if key[0] is None and (there := _first(connection, table, shape)):
            self._made[key] = there
            return
        mending = Mending(shape)
        row = self.compose(table, tenant)
        while key not in self._made:
            try:
                with connection.transaction():
                    self._made[key] = _inserted(connection, table, row, shape)
            except psycopg.Error as error:
                mending.refused(error)
                row.update(mending.next())
        self._accepted[table] = self._checked(table, row)

    def compose(self, table: str, tenant: UUID) -> dict[str, Any]:
        """Return the values of a new row of a tenant, for an INSERT.

        Raises:
            Unmade: a column's type is not known, or a parent's row could not be made.
        """
        shape = self.shapes[table]
        needed = [column for column in shape.columns.values() if column.needed]
        row: dict[str, Any] = {column.name: value for column in needed if (value := made_up(column)) is not None}
        for key in self._needed_keys(table):
            row.update(self._reference(key, tenant, row))
        row.update(self._accepted.get(table, {}))
        if table in self.factories:
            row.update(self.factories[table](tenant))
        if "tenant_id" in shape.columns:
            row["tenant_id"] = str(tenant)
        for column in needed:
            if column.name not in row:
                raise Unmade(f"no value of the type {column.type} can be made up for {column.name}")
        return row

    def _reference(self, key: ForeignKey, tenant: UUID, row: Row) -> Row:
        parent = row if key.parent == key.table else self.made(key.parent, tenant)
        if parent is None:
            raise Unmade(f"there is no row of {key.parent} for {key.name} to point at")
        return {child: parent.get(own) for child, own in zip(key.columns, key.parent_columns, strict=True)}

    def _needed_keys(self, table: str) -> Iterator[ForeignKey]:
        columns = self.shapes[table].columns
        for key in self.catalogue.foreign_keys:
            if key.table == table and all(name in columns and columns[name].not_null for name in key.columns):
                yield key

    def _checked(self, table: str, row: Row) -> Row:
        """Return what the CHECKs of a table have accepted: another value might be refused, and not by a policy."""
        given = {"tenant_id", *(name for key in self._needed_keys(table) for name in key.columns)}
        names = {name for check in self.shapes[table].checks.values() for name in check.columns}
        return {name: row[name] for name in names - given if name in row}

    def _whose(self, table: str, tenant: UUID) -> UUID | None:
        return tenant if "tenant_id" in self.shapes[table].columns else None


def insertion(table: str, row: Row, shape: Shape) -> Composed:
    """Return the INSERT of a row, whole, with its values as literals; text is cast to the column's type."""
    return SQL("INSERT INTO {} ({}) VALUES ({})").format(
        SQL(table),
        SQL(", ").join(map(Identifier, row)),
        SQL(", ").join(_cast(value, shape.columns.get(column)) for column, value in row.items()),
    )


def _cast(value: Any, column: Column | None) -> Composable:
    # Of a column that there is not, which a factory may name, the server says so.
    return Literal(value) if column is None else SQL("{}::{}").format(Literal(value), SQL(column.type))


def _inserted(connection: psycopg.Connection[Any], table: str, row: Row, shape: Shape) -> Row:
    statement = SQL("{} RETURNING {}").format(insertion(table, row, shape), _as_text(shape))
    found = connection.execute(statement).fetchone()
    return dict(zip(shape.columns, found or (), strict=True))


def _first(connection: psycopg.Connection[Any], table: str, shape: Shape) -> Row | None:
    found = connection.execute(SQL("SELECT {} FROM {} LIMIT 1").format(_as_text(shape), SQL(table))).fetchone()
    return None if found is None else dict(zip(shape.columns, found, strict=True))


def _as_text(shape: Shape) -> Composable:
    return SQL(", ").join(SQL("{}::text").format(Identifier(column)) for column in shape.columns)
