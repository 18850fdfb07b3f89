"""What isolates a tenant table, part by part, and the literal DDL of each part."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from infra.config.settings import Role, function_schema
from infra.config.sql_text import quote

INLINE = False
"""Whether policies call the tenant function for each row. Citus needs that: it refuses sub-queries in policies."""

TABLE = "{table}"
"""Stands for the table in a trigger's definition."""


def tenant_predicate(*, inline: bool = INLINE) -> str:
    """Return the condition under which a row belongs to the current tenant.

    The sub-select is evaluated once a statement and not once a row, and a cursor keeps its tenant while it is open.
    """
    function = f"{function_schema()}.tenant_id()"
    return f"tenant_id = {function if inline else f'(SELECT {function})'}"


PREDICATE = tenant_predicate()
PERMIT = "tenant_permit"
RESTRICT = "tenant_restrict"


@dataclass(frozen=True, slots=True)
class Flag:
    """A row level security flag of a table: the words that set it and that take it back."""

    on: str
    off: str
    rank: ClassVar[int] = 0

    @property
    def key(self) -> str:
        """The part's name within its table."""
        return f"{self.on} ROW LEVEL SECURITY"

    def create(self, table: str) -> tuple[str, ...]:
        """Return the statements that make the part."""
        return (f"ALTER TABLE {quote(table)} {self.on} ROW LEVEL SECURITY",)

    def drop(self, table: str) -> tuple[str, ...]:
        """Return the statements that remove the part."""
        return (f"ALTER TABLE {quote(table)} {self.off} ROW LEVEL SECURITY",)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy; expressions are as they are declared, or as PostgreSQL writes them."""

    name: str
    kind: str
    using: str | None
    check: str | None
    command: str = "ALL"
    roles: tuple[str, ...] = ("public",)
    rank: ClassVar[int] = 1

    @property
    def key(self) -> str:
        """The part's name within its table."""
        return f"policy {self.name}"

    def create(self, table: str) -> tuple[str, ...]:
        """Return the statements that make the part."""
        to = "" if self.roles == ("public",) else f" TO {', '.join(map(_grantee, self.roles))}"
        using = "" if self.using is None else f"\n  USING ({self.using})"
        check = "" if self.check is None else f"\n  WITH CHECK ({self.check})"
        head = f"CREATE POLICY {quote(self.name)} ON {quote(table)} AS {self.kind} FOR {self.command}"
        return (f"{head}{to}{using}{check}",)

    def drop(self, table: str) -> tuple[str, ...]:
        """Return the statements that remove the part."""
        return (f"DROP POLICY {quote(self.name)} ON {quote(table)}",)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger; its definition names the table as `TABLE`, and `state` is the catalogue's `tgenabled`."""

    name: str
    definition: str
    state: str = "O"
    rank: ClassVar[int] = 2
    _STATES: ClassVar[dict[str, str]] = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}

    @property
    def key(self) -> str:
        """The part's name within its table."""
        return f"trigger {self.name}"

    def create(self, table: str) -> tuple[str, ...]:
        """Return the statements that make the part."""
        made = self.definition.replace(TABLE, quote(table))
        if self.state == "O":
            return (made,)
        return (made, f"ALTER TABLE {quote(table)} {self._STATES[self.state]} TRIGGER {quote(self.name)}")

    def drop(self, table: str) -> tuple[str, ...]:
        """Return the statements that remove the part."""
        return (f"DROP TRIGGER {quote(self.name)} ON {quote(table)}",)


@dataclass(frozen=True, slots=True)
class Grant:
    """What one role may do with a table, or with some `columns` of it; `grantable` where it may pass that on."""

    grantee: str
    privileges: tuple[str, ...]
    columns: tuple[str, ...] = ()
    grantable: bool = False
    rank: ClassVar[int] = 3

    @property
    def key(self) -> str:
        """The part's name within its table."""
        columns = f" of {', '.join(self.privileges)} on columns" if self.columns else ""
        return f"grant to {self.grantee}{columns}{' with grant option' if self.grantable else ''}"

    def __str__(self) -> str:
        """Return the part as messages call it."""
        columns = f"column{'s' if len(self.columns) > 1 else ''} {', '.join(self.columns)}"
        return self.key.replace("on columns", f"on {columns}")

    def create(self, table: str) -> tuple[str, ...]:
        """Return the statements that make the part."""
        option = " WITH GRANT OPTION" if self.grantable else ""
        return (f"GRANT {self._what} ON {quote(table)} TO {_grantee(self.grantee)}{option}",)

    def drop(self, table: str) -> tuple[str, ...]:
        """Return the statements that remove the part, and with it what the role has passed on."""
        cascade = " CASCADE" if self.grantable else ""
        return (f"REVOKE {self._what} ON {quote(table)} FROM {_grantee(self.grantee)}{cascade}",)

    @property
    def _what(self) -> str:
        columns = f" ({', '.join(map(quote, self.columns))})" if self.columns else ""
        return ", ".join(privilege + columns for privilege in self.privileges)


Part = Flag | Policy | Trigger | Grant

ENABLED = Flag("ENABLE", "DISABLE")
FORCED = Flag("FORCE", "NO FORCE")
UPDATED_AT_TRIGGER = Trigger(
    "set_updated_at",
    f"CREATE TRIGGER set_updated_at BEFORE UPDATE ON {TABLE}\n"
    f"  FOR EACH ROW EXECUTE FUNCTION {function_schema()}.set_updated_at()",
)
# TRUNCATE ignores row level security and is never granted.
ROWS = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""What the application may do with the rows of a table, in the order in which PostgreSQL names it."""
APPLICATION = Grant(str(Role.USER), ROWS)


@dataclass(frozen=True, slots=True)
class Grants:
    """What the application may do with a tenant table; made with `grants`."""

    privileges: tuple[str, ...] = ROWS
    update: tuple[str, ...] = ()
    update_except: tuple[str, ...] = ()

    def parts(self, columns: Iterable[str]) -> tuple[Grant, ...]:
        """Return the rights on a table with these columns."""
        whole = tuple(privilege for privilege in ROWS if privilege in self.privileges)
        some = self.update or (set(columns) - set(self.update_except) if self.update_except else ())
        return (
            *((Grant(str(Role.USER), whole),) if whole else ()),
            *((Grant(str(Role.USER), ("UPDATE",), tuple(sorted(some))),) if some else ()),
        )

    def offences(self, columns: Iterable[str]) -> Iterator[str]:
        """Yield what of this cannot be granted on a table with these columns, and what to write."""
        if other := [privilege for privilege in self.privileges if privilege not in ROWS]:
            yield f"grants({', '.join(map(repr, other))}) is not for the application. It has {', '.join(ROWS)}."
        if unknown := sorted({*self.update, *self.update_except}.difference(columns)):
            yield f"grants names {', '.join(unknown)}, which is no column of it."
        if ("UPDATE" in self.privileges) + bool(self.update) + bool(self.update_except) > 1:
            yield 'grants says twice which columns may be updated. Keep one of "UPDATE", update and update_except.'


def grants(*privileges: str, update: Sequence[str] = (), update_except: Sequence[str] = ()) -> Grants:
    """Declare what the application may do with a tenant table, where that is not to read and write all of it.

        __grants__ = grants("SELECT", "INSERT")                                       # append-only
        __grants__ = grants("SELECT", "INSERT", "DELETE", update_except=["number"])   # a column stays as it is

    `update` names the only columns that may be updated, `update_except` those that may not be; a column that is added
    later follows with the next migration. The owner's rights are not affected.
    """
    return Grants(privileges, tuple(update), tuple(update_except))


def restrictive_policy(name: str, using: str, *, check: str | None = None) -> Policy:
    """Declare a policy beside the tenant's: it is restrictive, so it takes rows away and can never add any.

    It binds the application's role and its members, not the owner: what the owner does for a whole tenant (export,
    deletion, data migrations) has to reach every row of it.

        class Note(TenantMixin, Base):
            __tablename__ = "notes"
            __policies__ = (restrictive_policy("own_rows", "owner_id = (SELECT app.user_id())"),)

    `using` says which rows are seen, changed and deleted; `check` which may be written, the same unless given. A
    function in a sub-select is evaluated once a statement, outside one for every row.

    Raises:
        ValueError: the name is one of the tenant's own policies.
    """
    if name in {PERMIT, RESTRICT}:
        raise ValueError(f"{name!r} is the name of a tenant policy. Give this one a name of its own.")
    return Policy(name, "RESTRICTIVE", using, using if check is None else check, roles=(str(Role.USER),))


def narrowing(name: str, using: str, *, check: str | None = None) -> Policy:
    """Declare a policy as `restrictive_policy` does, whose former name this is."""
    warnings.warn(
        "narrowing is called restrictive_policy now; its former name is removed in the next version",
        DeprecationWarning,
        2,
    )
    return restrictive_policy(name, using, check=check)


def offence_of(policy: Policy) -> str:
    """Return why a policy may not stand beside the tenant's, and what to write; nothing where it may."""
    if policy.kind != "RESTRICTIVE":
        return (
            f"policy {policy.name} is {policy.kind}, so that it could only widen what a tenant sees. Use "
            "restrictive_policy(…)."
        )
    if bound := {"public", str(Role.OWNER)}.intersection(policy.roles):
        return (
            f"policy {policy.name} binds {', '.join(sorted(bound))}, so that the owner would miss rows when a tenant "
            "is exported or deleted. Use restrictive_policy(…), which binds the application."
        )
    return ""


def trigger(name: str, events: str, execute: str) -> Trigger:
    """Declare a trigger on each row, such as `trigger("audit", "AFTER INSERT OR UPDATE", "app.audit()")`.

    It stands in a model's `__triggers__`; a trigger of a tenant table that is not declared is dropped by the next
    migration. Its function is one of `schema.tenancy.functions`.

    Raises:
        ValueError: the name is that of the trigger which every tenant table has.
    """
    if name == UPDATED_AT_TRIGGER.name:
        raise ValueError(f"{name!r} is the name of a trigger that every tenant table has. Give this one another.")
    head = f"CREATE TRIGGER {quote(name)} {events} ON {TABLE}"
    return Trigger(name, f"{head}\n  FOR EACH ROW EXECUTE FUNCTION {execute}")


def isolation(rights: Iterable[Grant] = (APPLICATION,)) -> tuple[Part, ...]:
    """Return what shows a tenant its own rows of a table, to the application role with its rights, and no other's.

    FORCE binds the owner as well. The restrictive policy repeats the permissive one, so that no later permissive
    policy can widen what a tenant sees.
    """
    return (
        ENABLED,
        FORCED,
        Policy(PERMIT, "PERMISSIVE", PREDICATE, PREDICATE),
        Policy(RESTRICT, "RESTRICTIVE", PREDICATE, PREDICATE),
        UPDATED_AT_TRIGGER,
        *rights,
    )


def is_custom(part: Part) -> bool:
    """Return whether a part is not one that every tenant table has: it may name other tables and columns."""
    return isinstance(part, Policy | Trigger) and part.name not in {PERMIT, RESTRICT, UPDATED_AT_TRIGGER.name}


def create_all(parts: Iterable[Part], table: str) -> tuple[str, ...]:
    """Return the statements that make all parts; the application role gets its rights last."""
    return tuple(statement for part in sorted(parts, key=lambda part: part.rank) for statement in part.create(table))


def with_force_lifted(statements: Iterable[str], tables: Iterable[str]) -> tuple[str, ...]:
    """Wrap statements so that FORCE ROW LEVEL SECURITY is off on these tables while they run.

    For a foreign key that is validated: under FORCE the owner would see those of no tenant, as for
    `schema.migration.diff.rls.operations.AddTenantForeignKey`.
    """
    ends = sorted(tables)
    lifted = (statement for table in ends for statement in FORCED.drop(table))
    forced = (statement for table in ends for statement in FORCED.create(table))
    return (*lifted, *statements, *forced)


def _grantee(role: str) -> str:
    return "PUBLIC" if role == "public" else quote(role)
