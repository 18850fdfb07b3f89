"""Rows that are made up from the catalogue, as the isolation check makes them: parents first, CHECKs kept, keys unique.

What cannot be made up comes from the product's factories under [tool.groundwork.isolation.factories].
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Text, cast, inspect, select

from infra.config.settings import CHECKOUT, Role, Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import connect
from schema.client.orm import TenantSession
from schema.isolation.declarations import Declarations
from schema.isolation.facts import Catalogue
from schema.isolation.finding import Finding
from schema.isolation.probe.factories import Factory, load_factories
from schema.isolation.probe.insertion import Row
from schema.isolation.probe.partitions import make_room
from schema.isolation.probe.rows import Maker
from schema.isolation.probe.run import _ProbeRun
from schema.isolation.probe.shapes import Shape, read_shapes
from schema.isolation.reading import read

Model = TypeVar("Model")


@dataclass(frozen=True, slots=True)
class Facts:
    """What rows are made of in a database."""

    catalogue: Catalogue
    shapes: Mapping[str, Shape]


def read_facts(owner: DatabaseUrl, settings: Settings) -> Facts:
    """Return what rows are made of in the owner's database."""
    with connect(owner, settings, autocommit=True) as connection:
        return Facts(read(connection, str(Role.USER)), read_shapes(connection))


def declared_factories() -> dict[str, Factory]:
    """Return the product's factories of rows, by table."""
    return load_factories(Declarations.load(CHECKOUT / "pyproject.toml").factories)


def fill(owner: DatabaseUrl, settings: Settings, *tenants: UUID) -> list[Finding]:
    """Make a row of each table for each tenant; return for which tables none could be made, and why."""
    with connect(owner, settings, autocommit=True) as connection:
        make_room(connection)
        catalogue = read(connection, str(Role.USER))
        maker = Maker(catalogue, read_shapes(connection), declared_factories())
        run = _ProbeRun(catalogue, maker, connection, connection)
        for tenant in tenants:
            run._fill(tenant)
    return run.findings


@dataclass(slots=True)
class Make:
    """Makes rows for a session's tenant: `make(Invoice, number=7)` inserts one and returns it.

    What is not given and must be there is made up, and so are the rows that it must reference: one of each table, which
    the next rows of the test reference as well.
    """

    session: TenantSession
    facts: Facts
    factories: Mapping[str, Factory]
    _parents: dict[tuple[UUID | None, str], Row] = field(default_factory=dict)

    def __call__(self, model: type[Model], **values: Any) -> Model:
        """Make a row of a model with these values, by the names of its columns.

        Raises:
            CannotSynthesize: a row is refused, whatever is tried; says which factory to write.
        """
        mapper = inspect(model)
        table, tenant = str(mapper.local_table), self.session.tenant
        given: dict[str, Factory] = {table: lambda tenant: {**self._usual(table, tenant), **values}}
        maker = Maker(self.facts.catalogue, self.facts.shapes, {**self.factories, **given})
        self._remember_tenant(maker)
        maker._made.update({of: row for of, row in self._parents.items() if of[1] != table})
        connection: Any = self.session.connection().connection.driver_connection
        for group in _needed(maker, table):
            maker.insert(connection, group, tenant)
        self._parents.update(maker._made)
        row = maker.made(table, tenant)
        assert row is not None
        key = (cast(column, Text) == row[column.name] for column in mapper.primary_key)
        return self.session.scalars(select(model).where(*key)).one()

    def _usual(self, table: str, tenant: UUID) -> Mapping[str, Any]:
        return self.factories[table](tenant) if table in self.factories else {}

    def _remember_tenant(self, maker: Maker) -> None:
        """Take the tenant's own row as made: it is there before the test begins."""
        maker._made[self.session.tenant, "tenants"] = {"tenant_id": str(self.session.tenant)}


def _needed(maker: Maker, table: str) -> list[tuple[str, ...]]:
    """Return the groups of tables whose rows a table's row needs, each after those that it must reference."""
    groups = maker.groups()
    wanted, needed = {table}, list[tuple[str, ...]]()
    for group in reversed(groups):
        if wanted & {*group}:
            needed.insert(0, group)
            wanted |= {key.parent for name in group for key in maker._needed_keys(name)}
    return needed
