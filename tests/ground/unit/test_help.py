"""How the command line helps: the list, the help of each command, and what it says to a mistyped line."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

from infra.commands.program import Commands
from tests.ground.unit.test_pages import listed_commands
from tests.kit import pages

_RUN = """
import contextlib, io, json, sys
from invoke.main import program

said = []
for words in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            program.run(["invoke", *words])
            code = 0
        except SystemExit as end:
            code = end.code
    said.append((code, out.getvalue(), err.getvalue()))
json.dump(said, sys.stdout)
"""

PRODUCT = '''"""Yours: the shop's own commands."""

from invoke.context import Context

from infra.commands.cli import command


@command(name="Whom to greet.")
def greet(_: Context, name: str = "world") -> None:
    """Greet somebody."""
    print(f"hello {name}")
'''


class Said(NamedTuple):
    """What a line of words for `invoke` ended with, and what it printed."""

    code: int
    out: str
    err: str


def invoke_each(folder: Path, lines: Sequence[Sequence[str]]) -> list[Said]:
    """Run `invoke` with each of these lines in a folder, all in one process."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN], cwd=folder, input=json.dumps(lines), capture_output=True, text=True, check=True
    )
    return [Said(*each) for each in json.loads(done.stdout)]


_PLACES = {
    "tenants-create": ["Acme --help", "up --help", "Acme --slug --help", "--json --help"],
    "tenants-delete": ["acme --yes --help", "--by -h"],
    "migrate": ["--confirm-database --help", "--nonsense --help"],
    "generate": ["-m --help", "-m title -h"],
}


def test_help_is_shown_wherever_it_is_asked_for(copy: Path) -> None:
    """--help after a command, at any place, shows that command's help and runs nothing, neither it nor another.

    The kind: Invoke gives --help to whatever wants a value next, be it an argument (`tenants-create --help` signed a
    tenant up) or an option (`migrate --confirm-database --help`), and otherwise complains of the value that is missing.
    """
    asked = [(name, f"{name} {words}") for name, several in _PLACES.items() for words in several]
    for name in listed_commands():
        asked += [(name, f"{name} --help"), (name, f"{name} -h"), (name, f"up {name} --help down")]
        asked += [(name, f"--help {name}"), (name, f"--help {name} something")]
    for (name, line), said in zip(asked, invoke_each(copy, [line.split() for _, line in asked]), strict=True):
        assert (line, said.code, said.err) == (line, 0, "")
        assert said.out.startswith(f"Usage: invoke {name}")
    assert not (copy / ".env").exists()


def test_help_names_arguments_and_options_with_what_they_are(copy: Path) -> None:
    """What a command needs stands apart from what may be added, and each has its text."""
    said = invoke_each(copy, [["tenants-create", "--help"]])[0].out
    usage, arguments, options = said.partition("\nArguments:\n")[0], *said.partition("\nArguments:\n")[2].split("\n\n")
    assert usage.startswith("Usage: invoke tenants-create NAME [options]\n\nSign a tenant up.")
    assert arguments.split(maxsplit=1) == ["NAME", "What the tenant is called."]
    assert [line.split("  ")[1] for line in options.splitlines() if line.startswith("  -")] == [
        "-s, --slug VALUE",
        "-e, --external-id VALUE",
        "-j, --json",
    ]


def test_a_command_may_have_an_option_h_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """-h is help only where the command means nothing else by it."""

    @task
    def serve(_: Context, host: str = "") -> None:
        """Serve."""
        sys.stdout.write(f"at {host}")

    program = Commands(namespace=Collection(serve))
    program.run(["invoke", "serve", "-h", "here"], exit=False)
    assert capsys.readouterr().out == "at here"
    program.run(["invoke", "serve", "-h", "here", "--help"], exit=False)
    assert "-h, --host VALUE" in capsys.readouterr().out


def test_commands_are_listed_in_groups(copy: Path) -> None:
    """Each command stands once, under what its group is for, the most used group first; so without any word, too.

    The product's are the last group.
    """
    (copy / "infra" / "product" / "tasks.py").write_text(PRODUCT)
    listed, bare = (said.out for said in invoke_each(copy, [["--list"], []]))
    groups = [group.split("\n") for group in listed.split("\n\n")[1:-1]]
    names = [line.split()[0] for group in groups for line in group[1:] if re.match(r"  [a-z]", line)]
    assert sorted(names) == sorted({*listed_commands(), "greet"})
    assert names[0] == "up"
    assert [group[0].partition(":")[0] for group in groups] == [
        *("Every day", "Migrations", "Tenants", "Isolation", "Operations", "Quality", "Ground", "Yours")
    ]
    assert bare == listed


def test_every_option_is_described(copy: Path) -> None:
    """The page of the commands names each option that the help of a command has, and no other."""
    rows = dict(re.findall(r"^\| `invoke ([a-z-]+)(.*?)` \|", pages.read("infra/commands/README.md"), re.MULTILINE))
    helped = [said.out for said in invoke_each(copy, [[command, "--help"] for command in rows])]
    described = {command: set(re.findall(r"(?<=[ [])(?:--[a-z-]+|-m\b)", row)) for command, row in rows.items()}
    assert described == {command: _options(text) for command, text in zip(rows, helped, strict=True)}


def _options(text: str) -> set[str]:
    """Return the options that a command's help lists; the page has `-m` for the long form of that one."""
    return {"-m" if name == "--message" else name for name in re.findall(r"^ .*?(--[a-z-]+)", text, re.MULTILINE)}


def test_help_on_no_command_is_invokes_own_and_the_list_names_it(copy: Path) -> None:
    """Bare --help and -h show Invoke's own options, before it reads this project; the list says so.

    It also says how to get a command's help, and where the rest is explained.
    """
    listed, *helped = (invoke_each(copy, [[word]])[0] for word in ("--list", "--help", "-h"))
    for said in helped:
        assert (said.code, said.err) == (0, "")
        assert "--list" in said.out
    for named in ("`invoke COMMAND --help`", "`invoke --help`", "infra/commands/README.md"):
        assert named in listed.out


_MISTYPED = {
    "migrat": "no command 'migrat'. Did you mean `invoke migrate`? `invoke --list`",
    "up tenant-create x": "no command 'tenant-create'. Did you mean `invoke tenants-create`",
    "--help migrat": "Did you mean `invoke migrate`",
    "zzz": "no command 'zzz'. `invoke --list`",
    "up --adpot": "up has no option --adpot. Did you mean `--adopt`? `invoke up --help`",
    "generate -m x --alow-drop": "Did you mean `--allow-drop`",
    "generate -z": "generate has no option -z. `invoke generate --help`",
    "generate -m": "generate got no value for its option --message. `invoke generate --help`",
    "migrate --confirm-database": "migrate got no value for its option --confirm-database.",
    "tenants-create": "tenants-create got no NAME. `invoke tenants-create --help`",
    "tenants-delete --yes": "tenants-delete got no TENANT.",
    "up tenants-create --slg acme": "tenants-create has no option --slg. Did you mean `--slug`?",
    "tenants-create --slg Acme": "tenants-create has no option --slg. Did you mean `--slug`?",
    "tenants-create -": "tenants-create has no option -. `invoke tenants-create --help`",
    "tenants-delete -x": "tenants-delete has no option -x. `invoke tenants-delete --help`",
    "update v0.3.0 --paln": "update has no option --paln. Did you mean `--plan`? `invoke update --help`",
    "update --plan v0.3.0": "There is no command 'v0.3.0'.",
    "init": "init got no NAME. `invoke init --help`",
    "tenants-delete --force": "tenants-delete has no option --force. `invoke tenants-delete --help`",
}


def test_a_mistyped_line_is_answered_with_what_is_near(copy: Path) -> None:
    """One line says what is not known or missing, what is near, and where the rest is listed; nothing is run."""
    for (line, words), said in zip(_MISTYPED.items(), invoke_each(copy, [*map(str.split, _MISTYPED)]), strict=True):
        assert (line, said.code, said.out, said.err.count("\n")) == (line, 1, "", 1)
        assert words in said.err
    assert not (copy / ".env").exists()


def test_an_option_is_known_by_its_former_name_and_warns(copy: Path) -> None:
    """What users typed before is taken for what it is called now, and they are told that."""
    said = invoke_each(copy, [["migrate", "--i-mean"], ["rollback", "--i-mean=app", "--nonsense"]])
    assert "migrate got no value for its option --confirm-database." in said[0].err
    assert "rollback has no option --nonsense" in said[1].err
    assert all("--i-mean is called --confirm-database now" in each.err for each in said)
