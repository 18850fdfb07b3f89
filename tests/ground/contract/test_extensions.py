"""A product that declares an extension, through the commands."""

import pytest
import tomlkit

from infra.config.settings import Role
from tests.kit.checkout import Checkout

MODEL = '''"""Documents that are found by what they mean."""

from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from schema import Base, TenantMixin, new_id


class Vector(UserDefinedType[Any]):
    """The extension's type, in three dimensions."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "vector(3)"


class Document(TenantMixin, Base):
    """A document."""

    __tablename__ = "documents"
    __table_args__ = (
        Index("ix_documents_meaning", "meaning", postgresql_using="hnsw", postgresql_ops={"meaning": "vector_l2_ops"}),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    meaning: Mapped[list[float]] = mapped_column(Vector)
'''


def declare(checkout: Checkout, *extensions: str) -> None:
    """Write the extensions into the checkout's pyproject.toml."""
    path = checkout.path / "pyproject.toml"
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    document["tool"]["groundwork"]["extensions"] = list(extensions)
    path.write_text(tomlkit.dumps(document), encoding="utf-8")


@pytest.mark.slow
def test_an_extensions_type_and_index_are_written_applied_and_proven(checkout: Checkout) -> None:
    """The migration is written in a database that has it, a later one needs nothing, and the isolation is proven."""
    checkout.succeed("up", "migrate")
    declare(checkout, "vector")
    (checkout.path / "schema" / "models" / "documents.py").write_text(MODEL, encoding="utf-8")
    refused = checkout.invoke("generate", "-m", "add documents")
    assert refused.returncode == 5
    assert "invoke up" in refused.stderr
    assert "prove the stack" in checkout.succeed("plan").stdout
    checkout.succeed("up")
    checkout.succeed("generate", "-m", "add documents")
    checkout.succeed("migrate")
    assert checkout.succeed("generate", "-m", "again").stdout.startswith("nothing changed")
    assert checkout.query(Role.OWNER, "SELECT '[1,2,3]'::vector <-> '[1,2,4]'") == [(1.0,)]
    checkout.succeed("check")
    checkout.succeed("rollback")
    checkout.succeed("migrate")


@pytest.mark.slow
def test_an_extension_that_the_server_lacks_leaves_the_stack_as_it_was(checkout: Checkout) -> None:
    """The error names it and what to do; without it the same stack serves again."""
    checkout.succeed("up", "migrate")
    declare(checkout, "no_such_extension")
    for command in ("plan", "up"):
        refused = checkout.invoke(command)
        assert refused.returncode in {3, 4}, command
        assert "no_such_extension" in refused.stderr
    assert checkout.query(Role.USER, "SELECT 1") == [(1,)]
    declare(checkout)
    checkout.succeed("up")
