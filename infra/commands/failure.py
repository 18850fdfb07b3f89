"""What a command that fails tells people and programs, and the exit code that it ends with."""

from collections.abc import Iterator
from json import dumps

from infra.config.errors import ConfigError, EnvironmentFault, InfraError, StackError
from schema.errors import (
    DatabaseUnavailable,
    ExtensionError,
    IsolationError,
    MigrationError,
    MigrationInterrupted,
    ModelError,
    RightsError,
    RoleBypassesIsolation,
    SchemaError,
    TenancyError,
)

Failure = InfraError | SchemaError
# The page of the commands has the same table. Those that are named nowhere here are wrong usage.
_CODES: dict[type[Failure], int] = {
    ConfigError: 2,
    EnvironmentFault: 3,
    StackError: 4,
    DatabaseUnavailable: 4,
    RightsError: 4,
    ExtensionError: 4,
    MigrationError: 5,
    ModelError: 5,
    TenancyError: 6,
    IsolationError: 6,
    RoleBypassesIsolation: 6,
}
_WRONG_USAGE = 1
_NOTES = "__notes__"  # where Python keeps them (manual, BaseException.add_note)


def exit_code(error: Failure) -> int:
    """Return the exit code of a command that ends with this error."""
    if isinstance(error, MigrationInterrupted):
        return 128 + error.signal_number
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), _WRONG_USAGE)


def as_text(error: Failure) -> str:
    """Return what an error says to people. What to do comes last: notes, as a server's log, may fill the screen."""
    return "\n".join((*_notes(error), str(error)))


def as_json(error: Failure) -> str:
    """Return what an error says to programs: one line of JSON, with the attributes that it has."""
    facts = {name: value for name, value in vars(error).items() if name != _NOTES and value is not None and value != ()}
    own = {"error": type(error).__name__, "exit_code": exit_code(error), "message": str(error)}
    return dumps({**own, **facts, "notes": [*_notes(error)]}, default=str)


def _notes(error: Failure) -> Iterator[str]:
    yield from getattr(error, _NOTES, ())
