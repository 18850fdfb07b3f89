"""The errors of the data model and its client.

    SchemaError
    ├── DatabaseUnavailable     no usable connection: server away, or it refuses this role or database
    ├── RightsError             roles or rights are not what they should be and cannot be made so
    ├── ExtensionError          the server has no such extension, or refuses it
    ├── MigrationError          a migration cannot be written, found or applied
    │   └── MigrationInterrupted    a signal ended it
    ├── ModelError              a model cannot be read
    ├── TenancyError            a model declares what would not keep tenants apart, or cannot be as declared
    ├── IsolationError          tenants are not, or not provably, kept apart
    ├── RoleBypassesIsolation   the application's role could read past row level security
    ├── TenantContextError      a transaction has no tenant, or would have another than its session's
    └── TenantError             a tenant cannot be made, found or deleted

Each message says what, where and what next: in one paragraph, or with a line for each of several things
(`list_message`). The attributes say the same to programs, each where it is known: none needs to be given, so that an
error can be pickled. Neither holds a secret.
"""

import signal
from collections.abc import Sequence
from enum import StrEnum, auto
from pathlib import Path


def list_message(sentence: str, things: Sequence[str], then: str) -> str:
    """Return a message: a sentence with the one thing that it is about, or a line for each of several; then what next.

    `sentence` and the things have no punctuation at their end.
    """
    if len(things) == 1:
        return f"{sentence}: {things[0]}. {then}"
    return "\n".join((f"{sentence}:", *(f"- {thing}" for thing in things), then))


class SchemaError(Exception):
    """Base of everything a user can act on."""


class DatabaseUnavailable(SchemaError):
    """No usable connection to a database.

    `transient` is true where the same attempt may succeed later (the server is away, starting or full), false where
    the server or libpq refused for good (password, role, database, TLS). `host`, `port`, `database` and `role` are
    those of the connection. `sqlstate` is the server's, which there is only of a connection that was lost.
    """

    def __init__(
        self,
        message: str,
        *,
        transient: bool = False,
        host: str | None = None,
        port: int | None = None,
        database: str | None = None,
        role: str | None = None,
        sqlstate: str | None = None,
    ) -> None:
        super().__init__(message)
        self.transient = transient
        self.host = host
        self.port = port
        self.database = database
        self.role = role
        self.sqlstate = sqlstate


class RightsError(SchemaError):
    """Roles or rights are not what they should be and cannot be made so.

    `violations` are those that are left, a sentence each; `sqlstate` is that of the statement that the server refused.
    """

    def __init__(self, message: str, *, violations: tuple[str, ...] = (), sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.violations, self.sqlstate = violations, sqlstate


class ExtensionError(SchemaError):
    """The server has no `extension` of this name, or refuses it to whoever is to make it.

    `sqlstate` is that of the statement that the server refused.
    """

    def __init__(self, message: str, *, extension: str | None = None, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.extension, self.sqlstate = extension, sqlstate


class MigrationError(SchemaError):
    """A migration cannot be written, found or applied.

    `files` are the names of the migrations that it is about, and `revision` is one that no file of the checkout has.
    `changes` says what would be written, dropped or lost, a line each. `tables` are those of the models that cannot be
    made as declared. `sqlstate` is that of the statement that failed, `blockers` are the process ids of the server's
    processes that keep a lock from it.
    """

    def __init__(
        self,
        message: str,
        *,
        files: tuple[str, ...] = (),
        revision: str | None = None,
        changes: tuple[str, ...] = (),
        tables: tuple[str, ...] = (),
        sqlstate: str | None = None,
        blockers: tuple[int, ...] = (),
    ) -> None:
        super().__init__(message)
        self.files = files
        self.revision = revision
        self.changes = changes
        self.tables = tables
        self.sqlstate = sqlstate
        self.blockers = blockers


class MigrationInterrupted(MigrationError):
    """A run of migrations was ended by the signal `signal_number`; the message says what state it left."""

    def __init__(self, message: str, *, signal_number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class ModelError(SchemaError):
    """A model, or a module that declares one, cannot be read; `file` and `line` are where it stands."""

    def __init__(self, message: str, *, file: Path | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.file, self.line = file, line


class TenancyError(SchemaError):
    """A model declares what would not keep tenants apart, or names that the database cannot hold.

    `tables` are those that declare it.
    """

    def __init__(self, message: str, *, tables: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.tables = tables


class IsolationError(SchemaError):
    """Tenants are not, or not provably, kept apart in a database.

    `rules` are the rules that are broken, once each; `sqlstate` is that of the statement that kept a stage of the
    check from being made.
    """

    def __init__(self, message: str, *, rules: tuple[str, ...] = (), sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.rules, self.sqlstate = rules, sqlstate


class RoleBypassesIsolation(SchemaError):
    """The role that the application connects as, `role`, is not bound by row level security."""

    def __init__(self, message: str, *, role: str | None = None) -> None:
        super().__init__(message)
        self.role = role


class ContextFault(StrEnum):
    """What is wrong with the tenant of a transaction."""

    NO_TENANT = auto()
    NOT_A_TENANT = auto()
    NOT_A_USER = auto()
    OTHER_TENANT = auto()
    OTHER_USER = auto()
    BLOCK_ENDED = auto()
    TRANSACTION_OPEN = auto()
    AUTOCOMMIT = auto()
    TWO_PHASE = auto()
    OTHER_ENGINE = auto()
    NO_REASON = auto()


class TenantContextError(SchemaError):
    """A transaction has no tenant, something that is none, or another than its session or connection serves.

    `fault` says which: `NOT_A_TENANT` and `NOT_A_USER` are input that is no id, all others are errors in the program.
    Where two tenants or users meet, `wanted` is the one that was asked for and `serves` the one that it was asked of.
    """

    def __init__(
        self, message: str, *, fault: ContextFault | None = None, wanted: str | None = None, serves: str | None = None
    ) -> None:
        super().__init__(message)
        self.fault, self.wanted, self.serves = fault, wanted, serves


class TenantError(SchemaError):
    """A tenant cannot be made, found or deleted.

    `tenant` is its id or the key that it was asked for by; `causes` names what keeps it, as tables and policies, a text
    each; `sqlstate` is that of the statement that the server refused.
    """

    def __init__(
        self, message: str, *, tenant: str | None = None, causes: tuple[str, ...] = (), sqlstate: str | None = None
    ) -> None:
        super().__init__(message)
        self.tenant, self.causes, self.sqlstate = tenant, causes, sqlstate
