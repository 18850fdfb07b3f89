"""A copy of the project with many tables of tenants, and each step of a migration's life in it.

The stack is up, so a shadow database is made on its server, from the template that stays there for as long as the
migrations are the same. Files that a person or `generate` has just written are compiled in the sample, those that
nobody touched are not.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infra.config.settings import Role, database_name
from schema.admin.roles import ensure
from schema.client.connection import connect
from schema.migration.shadow import drop_database
from tests.ground.benchmarks.cases import Side
from tests.ground.benchmarks.checkouts import Checkout, served_project
from tests.ground.benchmarks.commands import Work, run
from tests.ground.benchmarks.files import Files, forget_compiled, read, restore, write
from tests.ground.benchmarks.steps import MIGRATING, PREFIX, WRITING, Step, refuse_undone, refuse_unmigrated

_HEAD = '''\
"""Tables to compare."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from schema import Base, TenantMixin, new_id, tenant_index, tenant_unique

'''
_TABLE = '''
class Bench{n}(TenantMixin, Base):
    """One of many."""

    __tablename__ = "{prefix}{n}"
    __table_args__ = (tenant_unique("number"), tenant_index("due"), CheckConstraint("amount >= 0", name="amount"))

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    number: Mapped[str]
    amount: Mapped[int] = mapped_column(server_default="0")
    due: Mapped[datetime | None]
    note: Mapped[str | None]
'''
_COLUMN = "    one_more: Mapped[str | None]\n"
_GENERATE = ("generate", "-m", "bench")


def models(count: int, *, one_more: bool = False) -> bytes:
    """Return a module that declares so many tables, the last one with a column more where that is asked for."""
    tables = "\n".join(_TABLE.format(n=n, prefix=PREFIX) for n in range(count))
    return f"{_HEAD}{tables}{_COLUMN if one_more else ''}".encode()


@dataclass(frozen=True, slots=True)
class ManyTables:
    """The copy; `base` and `migrated` are its migrations without and with the one that makes the tables."""

    checkout: Checkout
    count: int
    base: Files
    migrated: Files

    def side(self, step: Step) -> Side:
        """Return a step by our commands."""
        words = ("migrate",) if step in MIGRATING else _GENERATE
        return Side(
            f"invoke {words[0]}",
            self.checkout.invoke(*words),
            prepare=(Work(partial(self._prepare, step)),),
            verify=(Work(partial(self._verify, step)),),
        )

    def _start(self, step: Step) -> Files:
        return self.base if step is Step.GENERATE_FIRST else self.migrated

    def _prepare(self, step: Step) -> None:
        versions, module = _versions(self.checkout), _module(self.checkout)
        restore(versions, self._start(step))
        write(module, models(self.count, one_more=step is Step.GENERATE_ONE_COLUMN))
        if step in WRITING:
            forget_compiled(module)
        if step is Step.MIGRATE_FIRST:
            forget_compiled(*(versions / name for name in self.migrated if name not in self.base))
            _empty_database(self.checkout)

    def _verify(self, step: Step) -> None:
        refuse_undone("invoke", step, self._start(step), read(_versions(self.checkout)))
        if step in MIGRATING:
            refuse_unmigrated("invoke", self.checkout.url(Role.OWNER), self.checkout.settings, self.count)


def make_tables(name: str, count: int, undo: ExitStack) -> ManyTables:
    """Copy the project into a folder of this name and bring its stack up; declare tables, generate and migrate."""
    checkout = served_project(name, undo)
    base = read(_versions(checkout))
    write(_module(checkout), models(count))
    run(checkout.invoke(*_GENERATE, "migrate"))
    return ManyTables(checkout, count, base, read(_versions(checkout)))


def _versions(checkout: Checkout) -> Path:
    return checkout.folder / "migrations" / "versions"


def _module(checkout: Checkout) -> Path:
    return checkout.folder / "schema" / "models" / "bench.py"


def _empty_database(checkout: Checkout) -> None:
    """Leave what `invoke up` makes: the database, its roles and rights, and nothing in it."""
    with connect(checkout.admin, checkout.settings, autocommit=True) as connection:
        drop_database(connection, database_name())
    ensure(checkout.admin, checkout.settings)
