"""The errors of the data model and its client, each with the exit code of its command.

    SchemaError
    ├── DatabaseUnavailable     4   no usable connection: server away, or it refuses this role or database
    ├── RightsError             4   roles or rights are not what they should be and cannot be made so
    ├── ExtensionError          4   the server has no such extension, or refuses it
    ├── MigrationError          5   a migration cannot be written, found or applied
    │   └── MigrationInterrupted    130 or 143   a signal ended it
    ├── ModelError              5   a model cannot be read
    ├── TenancyError            6   a model declares what would not keep tenants apart, or cannot be as declared
    ├── IsolationError          6   tenants are not, or not provably, kept apart
    ├── RoleBypassesIsolation   6   the application's role could read past row level security
    ├── TenantContextError      1   a transaction has no tenant, or would have another than its session's
    └── TenantError             1   a tenant cannot be made, found or deleted

Each message says what, where and what next: in one paragraph, or with a line for each of several things
(`list_message`). No message holds a secret.
"""

from collections.abc import Sequence


def list_message(sentence: str, things: Sequence[str], then: str) -> str:
    """Return a message: a sentence with the one thing that it is about, or a line for each of several; then what next.

    `sentence` and the things have no punctuation at their end.
    """
    if len(things) == 1:
        return f"{sentence}: {things[0]}. {then}"
    return "\n".join((f"{sentence}:", *(f"- {thing}" for thing in things), then))


class SchemaError(Exception):
    """Base of everything a user can act on; `exit_code` is the command's."""

    exit_code = 1


class DatabaseUnavailable(SchemaError):
    """No usable connection to a database.

    `transient` is true where the same attempt may succeed later (the server is away, starting or full), false where
    the server or libpq refused for good (password, role, database, TLS).
    """

    exit_code = 4

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class RightsError(SchemaError):
    """Roles or rights are not what they should be and cannot be made so."""

    exit_code = 4


class ExtensionError(SchemaError):
    """The server has no `extension` of this name, or refuses it to whoever is to make it."""

    exit_code = 4

    def __init__(self, message: str, *, extension: str) -> None:
        super().__init__(message)
        self.extension = extension


class MigrationError(SchemaError):
    """A migration cannot be written, found or applied."""

    exit_code = 5


class MigrationInterrupted(MigrationError):
    """A run of migrations was ended by a signal; the message says what state it left."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class ModelError(SchemaError):
    """A model, or a module that declares one, cannot be read."""

    exit_code = 5


class TenancyError(SchemaError):
    """A model declares what would not keep tenants apart, or names that the database cannot hold."""

    exit_code = 6


class IsolationError(SchemaError):
    """Tenants are not, or not provably, kept apart in a database."""

    exit_code = 6


class RoleBypassesIsolation(SchemaError):
    """The role that the application connects as is not bound by row level security."""

    exit_code = 6


class TenantContextError(SchemaError):
    """A transaction has no tenant, something that is none, or another than its session or connection serves."""


class TenantError(SchemaError):
    """A tenant cannot be made, found or deleted."""
