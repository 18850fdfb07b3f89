"""What a command that fails tells people and programs, and what an error carries."""

import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke.exceptions import Exit

from infra.commands.cli import reporting
from infra.commands.failure import Failure, exit_code
from infra.config.errors import ConfigError, InfraError, ServiceFailed
from schema.errors import MigrationError, MigrationInterrupted, SchemaError
from tests.kit import pages

_ROW = re.compile(r"^\| `(\w+)` \| (\d+) \| (.+) \|$", re.MULTILINE)
BLOCKED = MigrationError("It is blocked.\nEnd what blocks it.", files=("0002_a.py",), sqlstate="55P03", blockers=(7,))


def kinds(base: type[Failure]) -> Iterator[type[Failure]]:
    """Yield the classes of errors below `base` that the errors' own modules define."""
    for kind in base.__subclasses__():
        if kind.__module__ in {"infra.config.errors", "schema.errors"}:
            yield from (kind, *kinds(kind))


def failed(error: Failure, **options: object) -> Exit:
    """Return what a command ends with that raises `error`."""

    def command(**_: object) -> None:
        raise error

    with pytest.raises(Exit) as ended:
        reporting(command)(**options)
    return ended.value


def test_the_page_has_each_errors_exit_code_and_attributes() -> None:
    """The table names every error that adds an attribute or has an exit code of its own, with both."""
    described = {
        name: (int(code), tuple(re.findall(r"`(\w+)`", names)))
        for name, code, names in _ROW.findall(pages.read("infra/commands/README.md"))
    }
    every = [*kinds(InfraError), *kinds(SchemaError)]
    had = {kind: {*vars(kind("x"))} for kind in (InfraError, SchemaError, *every)}
    added = {kind: tuple(name for name in vars(kind("x")) if name not in had[kind.__mro__[1]]) for kind in every}
    assert described == {kind.__name__: (exit_code(kind("x")), names) for kind, names in added.items() if names}


@pytest.mark.parametrize("options", [{"json": True}, {"format": "json"}], ids=str)
def test_a_program_is_told_in_one_line_of_json(options: dict[str, object]) -> None:
    """Where JSON is asked for, the error is one line with its class, its exit code and the attributes that it has."""
    ended = failed(BLOCKED, **options)
    assert ended.code == 5
    assert "\n" not in (ended.message or "")
    assert json.loads(ended.message or "") == {
        "error": "MigrationError",
        "exit_code": 5,
        "message": "It is blocked.\nEnd what blocks it.",
        "files": ["0002_a.py"],
        "sqlstate": "55P03",
        "blockers": [7],
        "notes": [],
    }


@pytest.mark.parametrize("options", [{}, {"json": False}, {"format": "sarif"}], ids=str)
def test_people_are_told_in_words(options: dict[str, object]) -> None:
    """Otherwise it is its message, after its notes: what to do comes last on a screen."""
    error = ServiceFailed("It ended. Look.", service="postgres")
    error.add_note("the server's last line")
    ended = failed(error, **options)
    assert (ended.code, ended.message) == (4, "the server's last line\nIt ended. Look.")


def test_an_interrupted_run_has_the_exit_code_of_its_signal() -> None:
    """As a shell has it: 128 and the signal's number."""
    assert exit_code(MigrationInterrupted("Interrupted.", signal_number=15)) == 143


def test_an_error_of_the_products_has_the_code_of_what_it_is() -> None:
    """A class that is derived from one of ours ends a command as that does."""

    class OwnError(ConfigError):
        """One of a product's."""

    error = OwnError("x", file=Path("/x"))
    error.own = {"more": [1]}  # type: ignore[attr-defined]  # whatever a product adds
    document = json.loads(failed(error, json=True).message or "")
    assert (document["exit_code"], document["file"], document["own"]) == (2, "/x", {"more": [1]})


@pytest.mark.parametrize("kind", [InfraError, SchemaError, *kinds(InfraError), *kinds(SchemaError)])
def test_an_error_survives_the_way_between_processes(kind: type[Failure]) -> None:
    """A worker's error arrives in another process with its message and attributes, as pickle carries it."""
    error = kind("What, where, what next.")
    vars(error).update(dict.fromkeys(vars(error), ("set",)))
    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301 - it is what was just written
    assert (type(arrived), str(arrived), vars(arrived)) == (kind, str(error), vars(error))
