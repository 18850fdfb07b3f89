"""`invoke generate` against peers in Python.

With nothing changed, the peer is plain Alembic's check of the same models on the same database: one that somebody has
to keep at hand and migrated. It sees neither policies nor changed expressions; ours makes a database of its own, from
a template. Where there is something to write and tables are few, starting up is most of the time: the peer is a process
that imports what any such tool has to, and the limit is on what is spent beyond that.
"""

import sys
from contextlib import ExitStack
from functools import partial

from infra.config.settings import Role
from tests.ground.benchmarks.cases import Case, Measure, Side, Suite, Target
from tests.ground.benchmarks.checkouts import Checkout
from tests.ground.benchmarks.commands import Command, Figure
from tests.ground.benchmarks.many_tables import make_tables
from tests.ground.benchmarks.steps import WRITING, Step
from tests.kit.availability import embedded_lacks

_IMPORTS = "import invoke.main, sqlalchemy.orm, alembic.command"
_BEYOND_IMPORTS = Target(0.5, Measure.BEYOND, (Figure.CPU,))
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


def _few(count: int) -> Suite:
    """Return the cases of few tables: those that write, over the imports."""
    names = {f"{step}-{count}-over-imports": step for step in Step if step in WRITING}
    return Suite(tuple(names), embedded_lacks, partial(_over_imports, names, count))


def _over_imports(names: dict[str, Step], count: int, undo: ExitStack) -> tuple[Case, ...]:
    tables = make_tables(f"few-{count}", count, undo)
    imports = Side("bare imports", Command((sys.executable, "-c", _IMPORTS), tables.checkout.folder, {}))
    return tuple(Case(name, tables.side(step), imports, _BEYOND_IMPORTS) for name, step in names.items())


def _plain(count: int) -> Suite:
    name = f"generate-no-change-{count}-over-alembic"
    return Suite((name,), embedded_lacks, partial(_over_alembic, name, count))


def _over_alembic(name: str, count: int, undo: ExitStack) -> tuple[Case, ...]:
    checkout = make_tables(f"plain-{count}", count, undo).checkout
    ours = Side("invoke generate --check", checkout.invoke("generate", "--check"))
    return (Case(name, ours, Side("plain alembic check", _plain_check(checkout))),)


def _plain_check(checkout: Checkout) -> Command:
    """Put plain Alembic's environment beside the project's, on the stack's database."""
    (checkout.folder / "plain").mkdir()
    (checkout.folder / "plain" / "env.py").write_text(_PLAIN_ENV)
    (checkout.folder / "plain.ini").write_text(_PLAIN_INI)
    owner = checkout.url(Role.OWNER)
    url = f"postgresql+psycopg://{owner.user}:{owner.password.reveal()}@{owner.host}:{owner.port}/{owner.database}"
    words = (sys.executable, "-m", "alembic", "-c", "plain.ini", "check")
    return Command(words, checkout.folder, {**checkout.environ, "PLAIN_URL": url})


SUITES = (_few(1), _few(10), _plain(1), _plain(100))
