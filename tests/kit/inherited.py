"""Tests that every product wants: `from tests.kit.inherited import *` in a file of tests/product runs them there.

They are about the product's own models and migrations. What cannot be made up for a table comes from a factory under
[tool.groundwork.isolation.factories].
"""

import re
from typing import Any
from uuid import uuid4

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, select
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import flag_modified

from infra.config.ground import read_ground
from infra.config.settings import CHECKOUT, Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import connect
from schema.client.session import tenant_session
from schema.isolation.formats import Format, render
from schema.isolation.report import Report
from schema.migration.engine import owner_engine
from schema.migration.files import Migrations
from schema.migration.models import load_models
from schema.tenancy.base import Base
from schema.tenancy.mixin import TenantMixin
from tests.kit.catalogue import OBJECTS
from tests.kit.product import Database
from tests.kit.rows import fill
from tests.kit.stack import RunningStack

__all__ = [
    "test_each_migration_goes_up_and_down_on_filled_tables",
    "test_every_model_round_trips",
    "test_migrations_are_safe_to_run",
    "test_tenants_are_isolated",
    "test_the_models_need_no_migration",
]
_MODELS = read_ground(CHECKOUT / "pyproject.toml").models
_BOOKKEEPING = re.compile("alembic_version|migration_ledger")


def test_tenants_are_isolated(isolation_report: Report) -> None:
    """No tenant sees or changes another's rows: by the catalogue, and by attacks on a clone."""
    assert isolation_report.is_isolated, render(isolation_report, Format.TEXT)


def test_migrations_are_safe_to_run(isolation_report: Report) -> None:
    """No migration blocks or breaks what uses the database while it runs, unless a comment says why it may."""
    assert not isolation_report.about("migrations"), render(isolation_report, Format.TEXT)


def test_the_models_need_no_migration(database: Database) -> None:
    """The migrations make what the models declare; otherwise `invoke generate` has something to write."""
    with owner_engine(database.owner, database.settings).connect() as connection:
        config = _config(connection)
        config.attributes["metadata"] = load_models()
        command.check(config)


def test_each_migration_goes_up_and_down_on_filled_tables(scratch_database: DatabaseUrl, stack: RunningStack) -> None:
    """Each is applied to tables with rows of two tenants, taken back to the same objects, and applied again."""
    for script in Migrations.load(CHECKOUT).in_order:
        fill(scratch_database, stack.settings, uuid4(), uuid4())
        before = _objects(scratch_database, stack.settings)
        _move(scratch_database, stack.settings, script.revision)
        fill(scratch_database, stack.settings, uuid4(), uuid4())
        _move(scratch_database, stack.settings, "-1")
        assert _objects(scratch_database, stack.settings) == before, f"the downgrade of {script.revision}"
        _move(scratch_database, stack.settings, script.revision)


def test_every_model_round_trips(database: Database) -> None:
    """A row of each model of tenants is read, written as it was read, and read again the same."""
    tenant = uuid4()
    unmade = {finding.object: str(finding) for finding in fill(database.owner, database.settings, tenant)}
    load_models()
    for mapper in Base.registry.mappers:
        if issubclass(mapper.class_, TenantMixin) and mapper.class_.__module__.startswith(_MODELS):
            _round_trip(database, tenant, mapper, unmade)


def _round_trip(database: Database, tenant: Any, mapper: Mapper[Any], unmade: dict[str, str]) -> None:
    with tenant_session(database.engine, tenant) as session:
        found = session.scalars(select(mapper.class_)).first()
        assert found is not None, f"{mapper.class_.__name__}: {unmade.get(str(mapper.local_table), 'there is no row')}"
        keys = [each.key for each in mapper.column_attrs if not _is_given(each.columns[0])]
        read = {key: getattr(found, key) for key in keys}
        for key in keys:
            flag_modified(found, key)
        session.flush()
        session.expire(found)
        assert {key: getattr(found, key) for key in keys} == read, mapper.class_.__name__


def _is_given(column: Any) -> bool:
    """Return whether a column's value is a key's or the server's to give."""
    return bool(column.primary_key or column.computed or column.identity or column.name == "updated_at")


def _config(connection: Connection) -> Config:
    config = Migrations.load(CHECKOUT).config
    config.attributes["connection"] = connection
    return config


def _move(owner: DatabaseUrl, settings: Settings, to: str) -> None:
    with owner_engine(owner, settings).connect() as connection:
        move = command.downgrade if to.startswith("-") else command.upgrade
        move(_config(connection), to)


def _objects(owner: DatabaseUrl, settings: Settings) -> list[tuple[Any, ...]]:
    with connect(owner, settings, autocommit=True) as connection:
        found = connection.execute(OBJECTS).fetchall()
    return [each for each in found if not _BOOKKEEPING.search(each[1])]
