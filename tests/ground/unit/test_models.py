import subprocess
import sys

import pytest
from sqlalchemy import ForeignKeyConstraint, Table, make_url
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import CreateTable

from infra.config.settings import CHECKOUT
from schema.models import metadata
from schema.tenancy.base import Base
from schema.tenancy.mixin import TenantMixin, is_tenant_table

POSTGRESQL = make_url("postgresql+psycopg://").get_dialect()()
OF_NO_TENANT = {"tenant_directory"}
TABLES = [pytest.param(table, id=table.name) for table in metadata.sorted_tables if table.name not in OF_NO_TENANT]


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_a_tenant_table(table: Table) -> None:
    """Each model but the directory is declared with the mixin, whatever else it declares."""
    assert is_tenant_table(table)


@pytest.mark.parametrize("table", TABLES)
def test_the_mixin_gives_exactly_three_columns_first(table: Table) -> None:
    """The columns are uuid and timestamptz, none may be NULL, and the timestamps default to now()."""
    ddl = str(CreateTable(table).compile(dialect=POSTGRESQL))
    columns = [line.strip().rstrip(",") for line in ddl.splitlines() if line.startswith("\t")][:3]
    assert columns[0].removesuffix(" NOT NULL").removesuffix(" DEFAULT app.uuid7()") == "tenant_id UUID"
    assert columns[1:] == [
        f"{name} TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL" for name in ("created_at", "updated_at")
    ]
    assert not table.c.tenant_id.nullable


def test_the_models_are_configured_without_objection() -> None:
    """Every key of theirs keeps tenants apart, or says why it need not."""
    # Not those of every registry: what other tests declare to be refused may still be there.
    Base.registry.configure()


def test_a_model_that_is_imported_by_itself_is_whole() -> None:
    """Its tenants are declared too, whatever else of the product is not."""
    code = "from schema.models.users import User; [print(key.column) for key in User.__table__.foreign_keys]"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout == "tenants.tenant_id\n"


@pytest.mark.parametrize("table", TABLES)
def test_foreign_keys_lead_with_the_tenant_on_both_sides(table: Table) -> None:
    """A row can only reference a row of its own tenant."""
    for constraint in [c for c in table.constraints if isinstance(c, ForeignKeyConstraint)]:
        first = constraint.elements[0]
        assert (first.parent.name, first.column.name) == ("tenant_id", "tenant_id")


def test_a_new_model_needs_nothing_but_the_mixin() -> None:
    """The tenant leads the primary key of a model that declares only its own id."""

    class Thing(TenantMixin, Base):
        __tablename__ = "unit_test_things"

        id: Mapped[str] = mapped_column(primary_key=True)

    table = Base.metadata.tables["unit_test_things"]
    Base.metadata.remove(table)
    assert is_tenant_table(table)
    assert table.primary_key.columns.keys() == ["tenant_id", "id"]


def test_a_model_without_the_mixin_is_no_tenant_table() -> None:
    """Columns of the same name do not make a tenant table."""

    class Plain(Base):
        __tablename__ = "unit_test_plain"

        tenant_id: Mapped[str] = mapped_column(primary_key=True)

    table = Base.metadata.tables["unit_test_plain"]
    Base.metadata.remove(table)
    assert not is_tenant_table(table)
