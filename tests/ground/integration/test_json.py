"""What the commands that change migrations tell programs: one JSON document on stdout, and all else on stderr."""

import json
from typing import Any

import pytest

from tests.ground.integration.conftest import HEAD, Scratch
from tests.kit.checkout import Checkout
from tests.kit.documents import described_keys, keys_of

pytestmark = pytest.mark.one_backend

FAILS = "op.execute('SELECT 1 / 0')"


def told(commands: Checkout, *words: str) -> Any:
    """Run a command with --json and return the document that is all of its stdout; their page knows all its keys."""
    document = json.loads(commands.succeed(*words, "--json").stdout)
    command = " ".join(word for word in words[:2] if word in {*words[:1], "--plan"})
    assert keys_of(document) <= described_keys(command)
    return document


def revisions(steps: list[dict[str, Any]]) -> list[str]:
    """Return the revisions of steps, of which each has a title and took a time."""
    assert all(step.keys() == {"revision", "title", "milliseconds"} for step in steps)
    assert all(step["title"] and step["milliseconds"] > 0 for step in steps)
    return [step["revision"] for step in steps]


def test_applying_and_taking_back_are_told_to_programs(commands: Checkout, scratch: Scratch) -> None:
    """What is pending with its losses, what was applied, what was taken back, and where the database is then."""
    path = scratch.write("op.drop_column('users', 'email')", "op.execute('ALTER TABLE users ADD email text')")
    plan = told(commands, "migrate", "--plan")
    pending = plan["pending"]
    assert keys_of(plan) == described_keys("migrate --plan")
    assert [each["losses"] for each in pending] == [[], ["drops column users.email"]]
    assert pending[-1]["file"] == path.name
    named = f"--confirm-database={scratch.url.database}"
    done = told(commands, "migrate", named)
    assert (revisions(done["applied"]), done["head"]) == ([HEAD, "9999"], "9999")
    assert keys_of(done) == described_keys("migrate")
    assert scratch.at == ("9999",)
    assert told(commands, "migrate") == {"head": "9999", "applied": []}
    assert told(commands, "migrate", "--plan") == {"pending": []}
    back = told(commands, "rollback", named)
    assert revisions(back["taken_back"]) == ["9999"]
    assert keys_of(back) == described_keys("rollback")
    assert scratch.at == (HEAD,)


def test_a_failure_is_told_to_programs_on_stderr(commands: Checkout, scratch: Scratch) -> None:
    """No document; the last line of stderr says which migration failed and with which SQLSTATE; nothing was done."""
    scratch.write(FAILS)
    done = commands.invoke("migrate", "--json")
    assert (done.returncode, done.stdout) == (5, "")
    error = json.loads(done.stderr.splitlines()[-1])
    assert (error["error"], error["files"], error["sqlstate"]) == ("MigrationError", ["9999_by_hand.py"], "22012")
    assert {each["revision"]: each["state"] for each in told(commands, "history")} == {
        HEAD: "applied",
        "9999": "pending",
    }


def test_generating_is_told_to_programs(commands: Checkout, scratch: Scratch) -> None:
    """The files that were written, with what is not safe in them by file, lines and rule; none where all is made."""
    assert told(commands, "generate", "-m", "nothing") == {"files": [], "findings": []}
    models = commands.path / "schema" / "models" / "users.py"
    column = "from sqlalchemy.orm import Mapped\n\n" + models.read_text() + "    nickname: Mapped[str]\n"
    models.write_text(column)
    written = told(commands, "generate", "-m", "add nicknames")
    assert [(commands.path / file).exists() for file in written["files"]] == [True]
    assert {finding["file"] for finding in written["findings"]} == {"0002_add_nicknames.py"}
    assert keys_of(written) == described_keys("generate")
    assert {*written["files"]} == {f"migrations/versions/{file}" for file in scratch.files if file.startswith("0002")}
    assert told(commands, "generate", "--empty", "-m", "data")["files"] == ["migrations/versions/0003_data.py"]


@pytest.mark.parametrize(
    "words",
    [
        ["migrate", "--plan", "--sql"],
        ["migrate", "--sql", "--json"],
        ["history", "--show", "0001", "--json"],
        ["bootstrap", "--sql", "--json"],
        ["generate", "-m", "x", "--empty", "--merge"],
        ["generate", "-m", "x", "--check", "--rebase", "0001"],
    ],
    ids=" ".join,
)
def test_options_that_ask_for_different_answers_are_refused(
    commands: Checkout, scratch: Scratch, words: list[str]
) -> None:
    """The kind: one of two options won without a word, so a program got a script for the JSON that it asked for."""
    done = commands.invoke(*words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "cannot be given together" in done.stderr
    assert scratch.at == ()
