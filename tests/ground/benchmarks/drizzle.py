"""drizzle-kit as a peer: tables of the same shape, declared for it, in a database of their own.

It makes less: it cannot declare triggers, functions or forced row level security, and a table has one policy where ours
has two.
"""

import atexit
import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from textwrap import shorten

from psycopg.sql import SQL, Identifier

from infra.config.settings import Role
from infra.config.urls import DatabaseUrl
from schema.client.connection import connect
from schema.migration.shadow import drop_database
from tests.ground.benchmarks.cases import Side
from tests.ground.benchmarks.checkouts import Checkout
from tests.ground.benchmarks.commands import Command, CommandFailed, Work, run
from tests.ground.benchmarks.files import Files, read, restore, write
from tests.ground.benchmarks.steps import MIGRATING, PREFIX, Step, refuse_undone, refuse_unmigrated

_PACKAGE = {
    "private": True,
    "dependencies": {"drizzle-kit": "0.31.11", "drizzle-orm": "0.45.4", "pg": "8.23.1"},
}
_INSTALL = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--loglevel=error")
_DATABASE = "drizzle"
_OUT = "drizzle"
_CONFIG = b"""\
export default {
  dialect: "postgresql",
  schema: "./schema.ts",
  out: "./drizzle",
  dbCredentials: { url: process.env.DRIZZLE_URL ?? "" },
};
"""
_HEAD = """\
import { sql } from "drizzle-orm";
import {
  check, index, integer, pgPolicy, pgTable, primaryKey, text, timestamp, unique, uuid,
} from "drizzle-orm/pg-core";

export const tenants = pgTable("tenants", {
  tenantId: uuid("tenant_id").primaryKey().defaultRandom(),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
  name: text("name").notNull(),
  slug: text("slug").notNull().unique(),
});
"""
_TABLE = """
export const bench%(n)d = pgTable("%(table)s", {
  tenantId: uuid("tenant_id").notNull().references(() => tenants.tenantId),
  id: uuid("id").notNull().defaultRandom(),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
  number: text("number").notNull(),
  amount: integer("amount").notNull().default(0),
  due: timestamp("due", { withTimezone: true }),
  note: text("note"),%(column)s
}, (table) => [
  primaryKey({ columns: [table.tenantId, table.id] }),
  unique().on(table.tenantId, table.number),
  index().on(table.tenantId, table.due),
  check("%(table)s_amount", sql`amount >= 0`),
  pgPolicy("%(table)s_tenant", {
    using: sql`tenant_id = current_setting('app.tenant_id')::uuid`,
    withCheck: sql`tenant_id = current_setting('app.tenant_id')::uuid`,
  }),
]);
"""
_COLUMN = '\n  oneMore: text("one_more"),'


def schema(count: int, *, one_more: bool = False) -> bytes:
    """Return a module that declares so many tables, the last one with a column more where that is asked for."""
    columns = [""] * (count - 1) + [_COLUMN if one_more else ""]
    tables = (_TABLE % {"n": n, "table": f"{PREFIX}{n}", "column": column} for n, column in enumerate(columns))
    return (_HEAD + "".join(tables)).encode()


@cache
def drizzle_lacks() -> str | None:
    """Return why drizzle-kit cannot run here, None where it can; it is installed once, for this run."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"no drizzle-kit: there is no {program} on the PATH"
    write(_home() / "package.json", json.dumps(_PACKAGE).encode())
    try:
        run(Command(_INSTALL, _home(), {}))
    except CommandFailed as error:
        return f"no drizzle-kit: {shorten(str(error), 300)}"
    return None


@dataclass(frozen=True, slots=True)
class Drizzle:
    """A folder with tables for drizzle-kit, and a database on the stack of a checkout.

    `migrated` is its migrations with the one that makes the tables.
    """

    folder: Path
    checkout: Checkout
    count: int
    migrated: Files

    def side(self, step: Step) -> Side:
        """Return a step by drizzle-kit."""
        word = "migrate" if step in MIGRATING else "generate"
        return Side(
            f"drizzle-kit {word}",
            _kit(self.folder, self.checkout, word),
            prepare=(Work(partial(self._prepare, step)),),
            verify=(Work(partial(self._verify, step)),),
        )

    def _start(self, step: Step) -> Files:
        return {} if step is Step.GENERATE_FIRST else self.migrated

    def _prepare(self, step: Step) -> None:
        restore(self.folder / _OUT, self._start(step))
        write(self.folder / "schema.ts", schema(self.count, one_more=step is Step.GENERATE_ONE_COLUMN))
        if step is Step.MIGRATE_FIRST:
            _empty_database(self.checkout)

    def _verify(self, step: Step) -> None:
        refuse_undone("drizzle-kit", step, self._start(step), read(self.folder / _OUT))
        if step in MIGRATING:
            refuse_unmigrated("drizzle-kit", _url(self.checkout), self.checkout.settings, self.count)


def make_tables(checkout: Checkout, count: int) -> Drizzle:
    """Declare tables in a folder beside the installed packages, generate and migrate."""
    folder = _home() / str(count)
    write(folder / "drizzle.config.ts", _CONFIG)
    write(folder / "schema.ts", schema(count))
    run(_kit(folder, checkout, "generate"))
    _empty_database(checkout)
    run(_kit(folder, checkout, "migrate"))
    return Drizzle(folder, checkout, count, read(folder / _OUT))


@cache
def _home() -> Path:
    home = Path(tempfile.mkdtemp(prefix="groundwork-bench-drizzle-"))
    atexit.register(shutil.rmtree, home)
    return home


def _kit(folder: Path, checkout: Checkout, word: str) -> Command:
    program = _home() / "node_modules" / ".bin" / "drizzle-kit"
    return Command((str(program), word), folder, {"DRIZZLE_URL": _url(checkout).libpq()})


def _url(checkout: Checkout) -> DatabaseUrl:
    return checkout.url(Role.OWNER).on(_DATABASE)


def _empty_database(checkout: Checkout) -> None:
    with connect(checkout.admin, checkout.settings, autocommit=True) as connection:
        drop_database(connection, _DATABASE)
        names = Identifier(_DATABASE), Identifier(str(Role.OWNER))
        connection.execute(SQL("CREATE DATABASE {} OWNER {}").format(*names))
