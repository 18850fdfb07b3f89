"""`invoke generate` with nothing changed, against plain Alembic's check of the same models on the same database.

Plain Alembic compares with a database that somebody has to keep at hand and migrated, and sees neither policies nor
changed expressions; ours makes a database of its own, from a template.
"""

import sys
from contextlib import ExitStack

from infra.endpoints import role_url
from infra.settings import BackendChoice, Role
from tests.benchmarks.cases import Case, Side, Suite
from tests.benchmarks.checkouts import Checkout, copy_project
from tests.benchmarks.commands import Command, run
from tests.benchmarks.machine import free_ports
from tests.fixtures.availability import embedded_lacks

_SIZES = {"generate-no-change-1": 1, "generate-no-change-100": 100}

_MODELS = '''\
"""Tables to compare."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base
from schema.functions import new_id
from schema.tenancy import TenantMixin, tenant_index, tenant_unique

'''
_MODEL = '''
class Bench{n}(TenantMixin, Base):
    """One of many."""

    __tablename__ = "bench_{n}"
    __table_args__ = (tenant_unique("number"), tenant_index("due"), CheckConstraint("amount >= 0", name="amount"))

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    number: Mapped[str]
    amount: Mapped[int] = mapped_column(server_default="0")
    due: Mapped[datetime | None]
    note: Mapped[str | None]

'''
_PLAIN_ENV = """\
import os

from alembic import context
from sqlalchemy import create_engine

from schema.models import metadata

with create_engine(os.environ["PLAIN_URL"]).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, version_table_schema="app")
    context.run_migrations()
"""
_PLAIN_INI = "[alembic]\nscript_location = plain\nversion_locations = migrations/versions\nprepend_sys_path = .\n"


def _set_up(undo: ExitStack) -> tuple[Case, ...]:
    return tuple(_case(name, count, undo) for name, count in _SIZES.items())


def _case(name: str, count: int, undo: ExitStack) -> Case:
    checkout = copy_project(name, undo, STACK_BACKEND=BackendChoice.EMBEDDED)
    ports = free_ports(checkout.settings, checkout.project())
    checkout.environ.update({f"{service.upper()}_PORT": str(port) for service, port in ports.items()})
    _declare(checkout, count)
    undo.callback(run, checkout.invoke("down", "--volumes", "--yes"))
    run(checkout.invoke("up"))
    run(checkout.invoke("generate", "-m", "bench", "migrate"))
    owner = role_url(checkout.settings, ports, Role.OWNER)
    url = f"postgresql+psycopg://{owner.user}:{owner.password.reveal()}@{owner.host}:{owner.port}/{owner.database}"
    words = (sys.executable, "-m", "alembic", "-c", "plain.ini", "check")
    plain = Command(words, checkout.folder, {**checkout.environ, "PLAIN_URL": url})
    ours = checkout.invoke("generate", "--check")
    return Case(name, Side("invoke generate --check", ours), Side("plain alembic check", plain))


def _declare(checkout: Checkout, count: int) -> None:
    """Add models to the copy, and plain Alembic's environment beside the project's."""
    models = checkout.folder / "schema" / "models.py"
    (models.parent / "bench.py").write_text(_MODELS + "".join(_MODEL.format(n=n) for n in range(count)))
    models.write_text(models.read_text().replace("from schema.base", "import schema.bench\nfrom schema.base", 1))
    (checkout.folder / "plain").mkdir()
    (checkout.folder / "plain" / "env.py").write_text(_PLAIN_ENV)
    (checkout.folder / "plain.ini").write_text(_PLAIN_INI)


SUITE = Suite(tuple(_SIZES), embedded_lacks, _set_up)
