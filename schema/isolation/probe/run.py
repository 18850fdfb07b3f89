"""Fill a clone with the rows of two tenants, attack one as the other and as nobody, and look what became of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.sql import SQL

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import connect, unavailable
from schema.errors import IsolationError, SchemaError
from schema.isolation.facts import Catalogue
from schema.isolation.finding import Finding
from schema.isolation.probe import attacks
from schema.isolation.probe.attacks import Attack, Copy, Outcome, breach
from schema.isolation.probe.check_solver import CannotSynthesize
from schema.isolation.probe.factories import Factory, factory_to_write
from schema.isolation.probe.partitions import make_room
from schema.isolation.probe.rows import Maker
from schema.isolation.probe.shapes import read_shapes
from schema.isolation.reading import read

# Nothing was refused: the server went away, was short of something or took too long (PostgreSQL manual, appendix A).
_UNANSWERED = ("08", "40", "53", "55P", "57")
_LIMITS = {"statement_timeout": "30s", "lock_timeout": "10s"}
_TABLES_A_REPORT = 10
_DECLARED = "`invoke generate` writes what TenantMixin declares; see \\d {} for what is there"
_FIXES = {
    "truncate": "REVOKE TRUNCATE ON {} FROM {roles}, PUBLIC CASCADE",
    "upsert": "let the key lead with tenant_id",
    "reference": "let the foreign key hold tenant_id on both sides",
}
RULES = frozenset(
    f"probe-{name}"
    for name in (
        *("row", "read", "count", "lock", "copy-out", "update", "take", "delete", "truncate", "insert", "copy-in"),
        *("move", "upsert", "reference", "changed"),
    )
)
"""What findings of the probe are called."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of a probe; `error` is what ended it before all attacks were made."""

    findings: tuple[Finding, ...]
    attacks: int
    error: SchemaError | None = None


def probe(
    owner: DatabaseUrl,
    user: DatabaseUrl,
    settings: Settings,
    factories: Mapping[str, Factory],
    say: Callable[[str], None],
) -> Probed:
    """Attack every table of tenants in a database that holds nothing of value: its rows are made up and stay.

    `owner` and `user` are the owner and the application's role on that database.

    Where the server goes away, or rows cannot be looked at for a reason that is no table's own, what was found until
    then is returned with the error.

    Raises:
        DatabaseUnavailable: the server is away or refuses a role.
    """
    siege, error = None, None
    with (
        connect(owner, settings, autocommit=True, parameters=_LIMITS) as seeing,
        connect(user, settings, autocommit=True, parameters=_LIMITS) as attacking,
    ):
        try:
            catalogue = read(seeing, user.user)
            make_room(seeing)
            siege = _ProbeRun(catalogue, Maker(catalogue, read_shapes(seeing), factories), seeing, attacking)
            siege.run(say)
        except psycopg.Error as reason:
            error = _explained(owner, reason)
    if siege is None:
        return Probed((), 0, error)
    return Probed(tuple(dict.fromkeys(siege.findings)), siege.attacks, error)


def _explained(owner: DatabaseUrl, error: psycopg.Error) -> SchemaError:
    if isinstance(error, psycopg.OperationalError):
        return unavailable(owner, error, lost=True)
    return IsolationError(
        f"The attacks on {owner.database} could not be made: {error.diag.message_primary or error} "
        f"({error.sqlstate}). Look whether a trigger or a deferred constraint refuses ordinary rows.",
        sqlstate=error.sqlstate,
    )


@dataclass(slots=True)
class _ProbeRun:
    catalogue: Catalogue
    maker: Maker
    seeing: psycopg.Connection[Any]
    attacking: psycopg.Connection[Any]
    victim: UUID = field(default_factory=uuid4)
    intruder: UUID = field(default_factory=uuid4)
    findings: list[Finding] = field(default_factory=list)
    attacks: int = 0

    def run(self, say: Callable[[str], None]) -> None:
        self._fill(self.victim)
        before = self._state()
        targets = [table.name for table in self.catalogue.reachable_tables]
        say(f"attacking {len(targets)} tables")
        for number, table in enumerate(targets):
            if number and number % max(_TABLES_A_REPORT, len(targets) // 10) == 0:
                say(f"attacked {number} of {len(targets)} tables")
            # Nobody first: its first transaction is that of a connection which never had a tenant.
            for tenant in (None, self.intruder):
                self._attack(tenant, self._on_others_rows(table))
        self._fill(self.intruder)
        # Before the intruder tries the victim's keys: where a key is each tenant's own, that makes rows of its own, and
        # then what points at the victim's row points at the intruder's as well.
        for table in targets:
            self._attack(self.intruder, self._pointing_at_others_rows(table))
        for table in targets:
            self._attack(self.intruder, self._beside_own_rows(table))
        after = self._state()
        for table in before:
            if before[table] != after[table]:
                self._add_finding(
                    "changed", table, "another tenant's rows are not what they were, though no attack said so"
                )

    def _on_others_rows(self, table: str) -> Iterator[Attack]:
        yield from attacks.on_all_there_is(table, self.intruder)
        if self.maker.made(table, self.victim):
            row = self.maker.compose(table, self.victim)
            yield from attacks.with_a_row_of_the_victim(table, row, self.maker.shapes[table])

    def _beside_own_rows(self, table: str) -> Iterator[Attack]:
        shape, others = self.maker.shapes[table], self.maker.made(table, self.victim)
        if others is None or self.maker.made(table, self.intruder) is None:
            return  # a partition, whose rows are its parent's, or a table whose row could not be made
        yield from attacks.beside_own_rows(table, self.victim)
        for key in self.catalogue.unique_keys:
            if key.table == table and key.arbitrates:
                yield from attacks.on_key(key, self.maker.compose(table, self.intruder), others, shape)

    def _pointing_at_others_rows(self, table: str) -> Iterator[Attack]:
        shape = self.maker.shapes[table]
        if self.maker.made(table, self.intruder) is None:
            return
        for foreign in self.catalogue.foreign_keys:
            theirs = self.maker.made(foreign.parent, self.victim)
            mine = self.maker.made(foreign.parent, self.intruder)
            if foreign.table == table and theirs and mine:
                own = self.maker.compose(table, self.intruder)
                yield from attacks.on_foreign_key(foreign, own, theirs, mine, shape)

    def _attack(self, tenant: UUID | None, tried: Iterable[Attack]) -> None:
        try:
            for attack in tried:
                self.attacks += 1
                achieved = breach(attack, _outcome(self.attacking, tenant, attack))
                if achieved:
                    whom = "with no tenant" if tenant is None else "as another tenant"
                    self._add_finding(attack.name, attack.object, f"{whom}: {achieved}")
        except CannotSynthesize as reason:
            self._unmade(reason, reason.table)

    def _fill(self, tenant: UUID) -> None:
        with self._unforced():
            _enter(self.seeing, tenant)
            for group in self.maker.groups():
                try:
                    self.maker.insert(self.seeing, group, tenant)
                except CannotSynthesize as reason:
                    for table in group:
                        self._unmade(reason, table)

    def _state(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of the victim, as the owner sees them while FORCE is off."""
        with self._unforced():
            return {
                table: self.seeing.execute(
                    SQL("SELECT t::text FROM {} t WHERE tenant_id = {} ORDER BY 1").format(SQL(table), str(self.victim))
                ).fetchall()
                for table in self.catalogue.tables_of_tenants()
            }

    @contextmanager
    def _unforced(self) -> Iterator[None]:
        """Let the owner see and write every row for a transaction; FORCE is back when it ends."""
        forced = [SQL(table.name) for table in self.catalogue.relations if table.forced]
        with self.seeing.transaction():
            for table in forced:
                self.seeing.execute(SQL("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY").format(table))
            yield
            self.seeing.execute("SET CONSTRAINTS ALL IMMEDIATE")  # ALTER TABLE is refused while a check is pending
            for table in forced:
                self.seeing.execute(SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY").format(table))

    def _unmade(self, reason: CannotSynthesize, table: str) -> None:
        where = "" if table == reason.table else f" together with that of {reason.table}"
        wrong = f"no row can be made up to attack it with{where}: {reason}"
        self.findings.append(Finding("probe-row", table, wrong, factory_to_write(reason.table, reason.columns)))

    def _add_finding(self, name: str, subject: str, wrong: str) -> None:
        roles = ", ".join(self.catalogue.application)
        fix = _FIXES.get(name, _DECLARED).format(subject, roles=roles)
        self.findings.append(Finding(f"probe-{name}", subject, wrong, fix))


def _outcome(connection: psycopg.Connection[Any], tenant: UUID | None, attack: Attack) -> Outcome:
    """Try an attack in a transaction of its own; what achieved nothing is committed, what did is taken back."""
    rows = 0
    try:
        with connection.transaction():
            if tenant is not None:
                _enter(connection, tenant)
            rows = _rows(connection, attack)
            if rows or attack.only_rights:
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a check that is deferred may yet refuse it
                raise psycopg.Rollback
    except psycopg.Error as error:
        if error.sqlstate is None or error.sqlstate.startswith(_UNANSWERED):
            raise
        return Outcome(0, error.sqlstate, (error.diag.message_primary or str(error)).rstrip("."))
    return Outcome(rows)


def _rows(connection: psycopg.Connection[Any], attack: Attack) -> int:
    cursor = connection.cursor()
    if attack.copy is None:
        return max(0, cursor.execute(attack.statement).rowcount)
    with cursor.copy(attack.statement) as copy:
        if attack.copy is Copy.OUT:
            return sum(1 for _ in copy.rows())
        copy.write_row(attack.copied)
    return max(0, cursor.rowcount)


def _enter(connection: psycopg.Connection[Any], tenant: UUID) -> None:
    connection.execute(SQL("SET LOCAL app.tenant_id = {}").format(str(tenant)))
