"""What a schema holds beside its tables' rows, and the literal DDL of each object."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from infra.config.settings import Role
from infra.config.sql_text import literal, quote
from schema.migration.diff.domains import Domain
from schema.migration.diff.spelling import reproducible
from schema.migration.diff.storage import Storage
from schema.tenancy.policies import Policy, Trigger, with_force_lifted

Key = tuple[str, str, str]
"""An object's kind, the table it belongs to (empty where it belongs to none) and its name."""

_UNIQUE = re.compile(r"UNIQUE (?:NULLS NOT DISTINCT )?\([^()]*\)")
# What a sequence's options are unless somebody says otherwise (PostgreSQL manual, CREATE SEQUENCE).
_USUAL = {"START WITH 1", "INCREMENT BY 1", "NO MINVALUE", "NO MAXVALUE", "CACHE 1", "NO CYCLE"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column, its type and expressions as PostgreSQL writes them.

    `identity` is empty, or ALWAYS or BY DEFAULT and the sequence's options, separated by commas; `serial` is the
    sequence that the column owns and takes its default from, where there is one.
    """

    type: str
    default: str | None = None
    generated: str | None = None
    collation: str | None = None
    identity: str = ""
    nullable: bool = field(default=True, compare=False)
    comment: str | None = field(default=None, compare=False)
    serial: str = field(default="", compare=False)

    @property
    def declaration(self) -> str:
        """The type with its collation, as DDL has it."""
        return self.type if self.collation is None else f"{self.type} COLLATE {quote(self.collation)}"

    @property
    def identity_clause(self) -> str:
        """What makes the column an identity column; options that need not be said are not."""
        when, *options = self.identity.split(", ")
        said = " ".join(option for option in options if option not in _USUAL)
        return f"GENERATED {when} AS IDENTITY" + (f" ({said})" if said else "")

    def add(self, table: str, name: str) -> tuple[str, ...]:
        """Return the statements that add the column to a table."""
        generated = "" if self.generated is None else f" GENERATED ALWAYS AS ({reproducible(self.generated)}) STORED"
        generated += f" {self.identity_clause}" if self.identity else ""
        default = "" if self.default is None else f" DEFAULT {reproducible(self.default)}"
        null = "" if self.nullable else " NOT NULL"
        made = f"ALTER TABLE {quote(table)} ADD COLUMN {quote(name)} {self.declaration}{generated}{default}{null}"
        if self.comment is None:
            return (made,)
        return (made, f"COMMENT ON COLUMN {quote(table)}.{quote(name)} IS {literal(self.comment)}")


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated column, where it has to make way for a change of the columns that it is made of."""

    table: str
    name: str
    column: Column
    rank: ClassVar[int] = -1

    @property
    def key(self) -> Key:
        """The object's name in its schema."""
        return ("generated", self.table, self.name)

    def create(self) -> tuple[str, ...]:
        """Return the statements that make the object."""
        return self.column.add(self.table, self.name)

    def drop(self) -> tuple[str, ...]:
        """Return the statements that remove the object."""
        return (f"ALTER TABLE {quote(self.table)} DROP COLUMN {quote(self.name)}",)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A table's constraint; `kind` is the catalogue's `contype`, `forced` a foreign key's ends that are under FORCE."""

    table: str
    name: str
    kind: str
    definition: str
    forced: tuple[str, ...] = field(default=(), compare=False)
    rank: ClassVar[int] = 0

    @property
    def key(self) -> Key:
        """The object's name in its schema."""
        return ("constraint", self.table, self.name)

    @property
    def plain(self) -> bool:
        """Whether what Alembic compares says all of it: the columns of a key, and where a foreign key leads."""
        return self.kind in {"p", "f"} or (self.kind == "u" and _UNIQUE.fullmatch(self.definition) is not None)

    def create(self) -> tuple[str, ...]:
        """Return the statements that make the object."""
        add = f"ALTER TABLE {quote(self.table)} ADD CONSTRAINT {quote(self.name)} {reproducible(self.definition)}"
        return with_force_lifted((add,), self.forced)

    def drop(self) -> tuple[str, ...]:
        """Return the statements that remove the object."""
        return (f"ALTER TABLE {quote(self.table)} DROP CONSTRAINT {quote(self.name)}",)


@dataclass(frozen=True, slots=True)
class Index:
    """An index that is no constraint's; `plain` where columns in their order say all of it.

    `expressions` are in the places of their columns, and None in those of plain columns; empty where there is none.
    """

    table: str
    name: str
    definition: str
    plain: bool = field(compare=False)
    expressions: tuple[str | None, ...] = field(default=(), compare=False)
    rank: ClassVar[int] = 1

    @property
    def key(self) -> Key:
        """The object's name in its schema."""
        return ("index", self.table, self.name)

    def create(self) -> tuple[str, ...]:
        """Return the statements that make the object."""
        return (reproducible(self.definition),)

    def drop(self) -> tuple[str, ...]:
        """Return the statements that remove the object."""
        return (f"DROP INDEX {quote(self.name)}",)


@dataclass(frozen=True, slots=True)
class View:
    """A view, what it is made with, and who has which rights on it."""

    name: str
    definition: str
    materialized: bool = False
    options: tuple[str, ...] = ()
    grants: tuple[tuple[str, str], ...] = ()
    rank: ClassVar[int] = 4

    @property
    def key(self) -> Key:
        """The object's name in its schema."""
        return ("view", "", self.name)

    def create(self) -> tuple[str, ...]:
        """Return the statements that make the object."""
        options = f" WITH ({', '.join(self.options)})" if self.options else ""
        head = f"CREATE {self._kind} {quote(self.name)}{options} AS\n{reproducible(self.definition).rstrip(';')}"
        return (head, *_granted(self.grants, quote(self.name)))

    def drop(self) -> tuple[str, ...]:
        """Return the statements that remove the object."""
        return (f"DROP {self._kind} {quote(self.name)}",)

    @property
    def _kind(self) -> str:
        return "MATERIALIZED VIEW" if self.materialized else "VIEW"


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence that no column owns, and who has which rights on it."""

    name: str
    type: str
    start: int
    increment: int
    least: int
    greatest: int
    cache: int
    cycle: bool
    grants: tuple[tuple[str, str], ...] = ()
    rank: ClassVar[int] = 0

    @property
    def key(self) -> Key:
        """The object's name in its schema."""
        return ("sequence", "", self.name)

    def create(self) -> tuple[str, ...]:
        """Return the statements that make the object."""
        made = f"CREATE SEQUENCE {quote(self.name)} {self._options}"
        return (made, *_granted(self.grants, f"SEQUENCE {quote(self.name)}"))

    def alter(self, former: "Sequence") -> tuple[str, ...]:
        """Return the statements that make this of a former one, which keeps its value."""
        sequence = f"SEQUENCE {quote(self.name)}"
        gone = [grant for grant in former.grants if grant not in self.grants]
        return (
            f"ALTER {sequence} {self._options}",
            *(f"REVOKE {right} ON {sequence} FROM {_grantee(role)}" for role, right in gone),
            *_granted(tuple(grant for grant in self.grants if grant not in former.grants), sequence),
        )

    def drop(self) -> tuple[str, ...]:
        """Return the statements that remove the object."""
        return (f"DROP SEQUENCE {quote(self.name)}",)

    @property
    def _options(self) -> str:
        return (
            f"AS {self.type} INCREMENT BY {self.increment} MINVALUE {self.least} MAXVALUE {self.greatest} "
            f"START WITH {self.start} CACHE {self.cache} {'CYCLE' if self.cycle else 'NO CYCLE'}"
        )


@dataclass(frozen=True, slots=True)
class Part:
    """A policy or a trigger, of its table."""

    table: str
    part: Policy | Trigger
    rank: ClassVar[int] = 3

    @property
    def key(self) -> Key:
        """The object's name in its schema."""
        return ("trigger" if isinstance(self.part, Trigger) else "policy", self.table, self.part.name)

    def create(self) -> tuple[str, ...]:
        """Return the statements that make the object."""
        return tuple(map(reproducible, self.part.create(self.table)))

    def drop(self) -> tuple[str, ...]:
        """Return the statements that remove the object."""
        return self.part.drop(self.table)


Object = Generated | Constraint | Index | View | Sequence | Part


@dataclass(frozen=True, slots=True)
class Contents:
    """What a schema holds: columns by table and name, objects by key in the order of their making, enums' labels.

    `tables` are the tables' comments by their names. Partitions are named alone: what they hold is their parent's.
    """

    tables: Mapping[str, str | None]
    columns: Mapping[tuple[str, str], Column]
    objects: Mapping[Key, Object]
    enums: Mapping[str, tuple[str, ...]]
    partitions: frozenset[str] = frozenset()
    domains: Mapping[str, Domain] = field(default_factory=dict)
    storage: Mapping[str, Storage] = field(default_factory=dict)

    def of(self, kind: str) -> dict[Key, Object]:
        """Return the objects of one kind."""
        return {key: found for key, found in self.objects.items() if key[0] == kind}


def application_rights(kind: str, *, visible: bool = True) -> tuple[tuple[str, str], ...]:
    """Return the rights of the application on a declared view or sequence; a view that is not the caller's has none."""
    right = {"view": "SELECT", "sequence": "USAGE"}[kind]
    return ((str(Role.USER), right),) if visible else ()


def _granted(grants: tuple[tuple[str, str], ...], on: str) -> tuple[str, ...]:
    return tuple(f"GRANT {right} ON {on} TO {_grantee(role)}" for role, right in grants)


def _grantee(role: str) -> str:
    return "PUBLIC" if role == "public" else quote(role)
