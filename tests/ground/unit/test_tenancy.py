import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Table,
    UniqueConstraint,
    Uuid,
    make_url,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, configure_mappers, mapped_column
from sqlalchemy.schema import AddConstraint

from schema.errors import TenancyError
from schema.tenancy.base import NAMING_CONVENTION, Base
from schema.tenancy.keys import tenant_foreign_key, tenant_index, tenant_unique, unique_across_tenants
from schema.tenancy.mixin import TenantMixin, refuse_unsafe
from schema.tenancy.policies import Policy, restrictive_policy
from tests.kit.errors import about

POSTGRESQL = make_url("postgresql+psycopg://").get_dialect()()
Model = Callable[..., Table]


@pytest.fixture
def model() -> Model:
    """Declare a tenant table with some table arguments beside a parent, each test on metadata of its own."""

    class Product(DeclarativeBase):
        type_annotation_map = Base.type_annotation_map

    Product.metadata.naming_convention = NAMING_CONVENTION

    class Parent(TenantMixin, Product):
        __tablename__ = "parents"

        id: Mapped[UUID] = mapped_column(primary_key=True)
        line: Mapped[int] = mapped_column(primary_key=True)

    def declare(*arguments: Any, **attributes: Any) -> Table:
        body = {"__tablename__": "children", "__table_args__": arguments, "__module__": __name__, **attributes}
        types = {"id": Mapped[UUID], "parent_id": Mapped[UUID | None], "number": Mapped[int]}
        body["__annotations__"] = {name: type_ for name, type_ in types.items() if name not in attributes}
        body.setdefault("id", mapped_column(primary_key=True))
        child = type("Child", (TenantMixin, Product), body)
        configure_mappers()
        table = child.__table__  # type: ignore[attr-defined]  # every mapped class has one
        assert isinstance(table, Table)
        return table

    return declare


def named(indexes: Any) -> dict[str, list[str]]:
    """Return indexes as their names and columns."""
    return {
        POSTGRESQL.identifier_preparer.format_index(index): [column.name for column in index.columns]
        for index in indexes
    }


def test_a_key_of_the_tenants_leads_with_it(model: Model) -> None:
    """The helpers put the tenant before the columns, and names follow the convention."""
    table = model(tenant_unique("number"), tenant_index("created_at"))
    [unique] = [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    assert unique.columns.keys() == ["tenant_id", "number"]
    assert named(table.indexes) == {"ix_children_tenant_id_created_at": ["tenant_id", "created_at"]}


def test_a_reference_stays_within_the_tenant_and_is_indexed(model: Model) -> None:
    """The tenant is on both sides, and deleting a parent finds its children by an index."""
    table = model(tenant_foreign_key("parent_id", "parents.id"))
    [key] = [c for c in table.foreign_key_constraints if len(c.elements) > 1]
    assert [(e.parent.name, e.target_fullname) for e in key.elements] == [
        ("tenant_id", "parents.tenant_id"),
        ("parent_id", "parents.id"),
    ]
    assert named(table.indexes) == {"ix_children_tenant_id_parent_id": ["tenant_id", "parent_id"]}


def test_a_reference_that_a_key_begins_with_needs_no_index(model: Model) -> None:
    """A wider index or unique constraint serves as well."""
    assert len(model(tenant_foreign_key("parent_id", "parents.id"), tenant_unique("parent_id", "number")).indexes) == 0


def test_every_tenant_table_references_its_tenant(model: Model) -> None:
    """The mixin brings the foreign key to tenants."""
    [key] = model().foreign_key_constraints
    assert [element.target_fullname for element in key.elements] == ["tenants.tenant_id"]


def test_a_reference_may_have_several_columns(model: Model) -> None:
    """They reference the parent's, in order."""
    table = model(tenant_foreign_key(("parent_id", "number"), ("parents.id", "parents.line")))
    [key] = [c for c in table.foreign_key_constraints if len(c.elements) > 1]
    assert key.column_keys == ["tenant_id", "parent_id", "number"]


@pytest.mark.parametrize(("column", "written"), [("parent_id", "parent_id"), ("order", '"order"')])
def test_losing_the_parent_keeps_the_tenant(column: str, written: str) -> None:
    """SET NULL names the parent's column alone; CASCADE stays as it is."""
    assert tenant_foreign_key(column, "parents.id", ondelete="SET NULL").ondelete == f"SET NULL ({written})"
    assert tenant_foreign_key(column, "parents.id", ondelete="CASCADE").ondelete == "CASCADE"


def test_set_null_reaches_the_server_with_its_columns(model: Model) -> None:
    """The column list is part of the statement."""
    table = model(tenant_foreign_key("parent_id", "parents.id", ondelete="SET NULL"))
    [key] = [c for c in table.foreign_key_constraints if len(c.elements) > 1]
    key.elements[0].parent.table.metadata.tables["parents"]
    assert str(AddConstraint(key).compile(dialect=POSTGRESQL)).endswith("ON DELETE SET NULL (parent_id)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [UniqueConstraint("number")],
            (
                'children: the unique constraint on "number" does not lead with tenant_id, so it tells one tenant what '
                'another one has. Write tenant_unique("number"), or unique_across_tenants(…, reason=…) where that is'
            ),
        ),
        ([UniqueConstraint("number", "tenant_id")], 'Write tenant_unique("number")'),
        (
            [Index("i", "number", unique=True)],
            'the unique index on "number" .* Write tenant_index("number", unique=True)',
        ),
        (
            [ForeignKeyConstraint(["parent_id"], ["parents.id"])],
            (
                "children: the foreign key on parent_id can reference a row of another tenant in parents. "
                'Write tenant_foreign_key("parent_id", "parents.id").'
            ),
        ),
        (
            [ForeignKeyConstraint(["parent_id", "number"], ["parents.id", "parents.line"])],
            'Write tenant_foreign_key(("parent_id", "number"), ("parents.id", "parents.line")).',
        ),
        (
            [ForeignKeyConstraint(["id", "parent_id"], ["parents.tenant_id", "parents.id"])],
            "foreign key on id, parent_id can reference a row of another tenant",
        ),
        (
            [
                ForeignKeyConstraint(
                    ["tenant_id", "parent_id"], ["parents.tenant_id", "parents.id"], ondelete="SET NULL"
                )
            ],
            (
                "children: ON DELETE SET NULL of the foreign key to parents would take away tenant_id too. "
                'Write tenant_foreign_key("parent_id", "parents.id", ondelete="SET NULL").'
            ),
        ),
        (
            [ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"])],
            "children: the foreign key on tenant_id to tenants.tenant_id is declared 2 times. TenantMixin has",
        ),
        ([{"schema": "shop"}], "shop.children: a tenant table lies in schema public."),
    ],
)
def test_keys_that_do_not_keep_tenants_apart_are_refused(arguments: list[Any], message: str, model: Model) -> None:
    """Configuring the model fails, with the table, the constraint and the code to write instead."""
    with pytest.raises(TenancyError, match=re.escape(message).replace(r"\.\*", ".*")):
        model(*arguments)


def test_a_column_that_references_a_tenant_table_by_itself_is_refused(model: Model) -> None:
    """A foreign key on the column is as plain as one on the table."""
    with pytest.raises(TenancyError, match=r'Write tenant_foreign_key\("parent_id", "parents\.id"\)'):
        model(parent_id=mapped_column(Uuid, ForeignKey("parents.id")))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (mapped_column(Uuid, primary_key=True, nullable=True), r"children\.tenant_id may be NULL"),
        (mapped_column(Uuid), "children: the primary key does not lead with tenant_id"),
    ],
)
def test_a_tenant_that_may_be_missing_is_refused(column: Any, message: str, model: Model) -> None:
    """Whoever declares tenant_id again cannot make it optional, or take it out of the key."""
    with pytest.raises(TenancyError, match=message):
        model(tenant_id=column)


def test_a_key_over_all_tenants_needs_a_reason(model: Model) -> None:
    """With one it is accepted; without one it is refused where it is written."""
    assert model(unique_across_tenants("number", reason="a customer dials it")) is not None
    with pytest.raises(TenancyError, match="needs a reason"):
        unique_across_tenants("number", reason=" ")


def test_tables_are_refused_without_their_models(model: Model) -> None:
    """`generate` asks the tables themselves, for a parent that was declared after its child too."""
    table = model()
    table.append_constraint(UniqueConstraint("number"))
    with pytest.raises(TenancyError, check=about(tables=(table.fullname,))):
        refuse_unsafe([table])


def test_a_number_that_only_the_owner_could_count_is_refused(model: Model) -> None:
    """A serial key asks for a right on its sequence that the application does not have, where an identity has none."""
    with pytest.raises(
        TenancyError, match=r"children\.id would be counted .* mapped_column\(Identity\(\), primary_key"
    ):
        model(id=mapped_column(Integer, primary_key=True, autoincrement=True))


def test_an_identity_counts_for_everybody(model: Model) -> None:
    """A number is a key as good as a UUID."""
    assert model(id=mapped_column(Integer, Identity(), primary_key=True)).c.id.identity is not None


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (Policy("all", "RESTRICTIVE", "a > 0", "a > 0"), "binds public"),
        (Policy("ours", "RESTRICTIVE", "a > 0", None, "SELECT", ("app_user", "app_owner")), "binds app_owner"),
        (Policy("wide", "PERMISSIVE", "true", "true", roles=("app_user",)), "widen"),
    ],
)
def test_a_policy_that_hides_rows_from_the_owner_or_widens_is_refused(policy: Policy, told: str) -> None:
    """Policies beside the tenant's bind the application alone, and only ever take rows away."""

    class Product(DeclarativeBase):
        type_annotation_map = Base.type_annotation_map

    class Narrowed(TenantMixin, Product):
        __tablename__ = "narrowed"
        __policies__ = (policy,)

        a: Mapped[int] = mapped_column(primary_key=True)

    with pytest.raises(TenancyError, match=f"narrowed: policy {policy.name} .*{told}"):
        refuse_unsafe([Product.metadata.tables["narrowed"]])
    Narrowed.__table__.info["isolation_parts"] = (restrictive_policy("all", "a > 0"),)  # type: ignore[attr-defined]  # a Table
    refuse_unsafe([Product.metadata.tables["narrowed"]])
