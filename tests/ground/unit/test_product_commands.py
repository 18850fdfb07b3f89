"""The product's own commands, from `infra/product/tasks.py`: beside the ground's, and never in their way."""

from pathlib import Path

import pytest

from tests.ground.unit.test_help import PRODUCT, invoke_each

_COLLECTION = '''
"""Yours."""

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

from infra.commands.stack import status
from infra.config.errors import ConfigError


@task(aliases=["fill"], help={"rows": "How many."})
def seed_all(_: Context, rows: int = 1) -> None:
    """Fill the database."""
    raise ConfigError(f"SEED is missing in .env, for {rows} rows. Set it.")


@task(pre=[status], default=True)
def report(_: Context) -> None:
    """Report."""
    print("reported")


nightly = Collection("nightly", seed_all)
namespace = Collection(seed_all, report, status, nightly=nightly, up=Collection("up"))
'''


def write_tasks(checkout: Path, text: str) -> None:
    """Make this the product's module of commands."""
    (checkout / "infra" / "product" / "tasks.py").write_text(text)


def test_a_command_of_the_product_is_run_like_the_grounds(copy: Path) -> None:
    """It takes options, has a help of its own, and a mistyped option is answered with what is near."""
    write_tasks(copy, PRODUCT)
    run, helped, mistyped = invoke_each(
        copy, [["greet", "--name", "Ada"], ["greet", "--help"], ["greet", "--nme", "A"]]
    )
    assert run == (0, "hello Ada\n", "")
    assert helped.out.startswith("Usage: invoke greet [options]\n\nGreet somebody.\n\nOptions:\n")
    assert "-n, --name VALUE  Whom to greet.\n" in helped.out
    assert (mistyped.code, mistyped.out, "Did you mean `--name`?" in mistyped.err) == (1, "", True)


def test_tasks_of_invokes_own_are_commands_like_the_grounds(copy: Path) -> None:
    """Aliases, collections and tasks of the ground that run before work, an error that a user can act on is text.

    A default task leaves `invoke` without any word what it is.
    """
    write_tasks(copy, _COLLECTION)
    lines = ["fill --rows 2", "nightly.seed-all", "report", "nightly.seed-all --help", "status --help", "", "--list"]
    alias, nested, report, helped, ours, bare, listed = invoke_each(copy, [line.split() for line in lines])
    assert alias == (2, "", "SEED is missing in .env, for 2 rows. Set it.\n")
    assert (nested.code, nested.out) == (2, "")
    assert (report.code, "nothing runs" in report.out, report.out.splitlines()[-1]) == (0, True, "reported")
    assert "-r, --rows VALUE  How many." in helped.out
    assert "-j, --json  Print JSON, for programs." in ours.out
    assert listed.out.count("  Show what runs, where and since when\n") == 1
    assert [line.split()[0] for line in listed.out.partition("\nYours\n")[2].split("\n\n")[0].splitlines()] == [
        *("seed-all", "report", "nightly.seed-all")
    ]
    assert bare == listed


def test_a_product_spreads_its_commands_over_modules(copy: Path) -> None:
    """All of them stand in one group, which has a title without a docstring too."""
    (copy / "infra" / "product" / "greetings.py").write_text(PRODUCT)
    write_tasks(copy, "from infra.product.greetings import greet\n\n__all__ = ['greet']\n")
    run, listed = invoke_each(copy, [["greet"], ["--list"]])
    assert run == (0, "hello world\n", "")
    assert "\nYours\n  greet " in listed.out


@pytest.mark.parametrize(
    ("text", "place", "name"),
    [
        (PRODUCT.replace("def greet", "def up"), "infra/product/tasks.py:8", "up"),
        (PRODUCT.replace("def greet", "def tenants_list"), "infra/product/tasks.py:8", "tenants-list"),
        (_COLLECTION.replace('"fill"', '"generate"'), "infra/product/tasks.py:12", "generate"),
        (_COLLECTION.replace("nightly=", "check="), "infra/product/tasks.py:12", "check"),
    ],
    ids=["function", "dashes", "alias", "collection"],
)
def test_a_name_of_the_grounds_is_refused_by_name(copy: Path, text: str, place: str, name: str) -> None:
    """The place, the name and what to write are said; the ground's command stays what it is."""
    before = invoke_each(copy, [[name, "--help"]])[0].out
    write_tasks(copy, text)
    helped, unknown = invoke_each(copy, [[name, "--help"], ["greet"]])
    assert (helped.code, helped.out) == (0, before)
    assert helped.err.startswith(f"{place}: the command `{name}` is one of the ground's")
    assert f"`product-{name}`" in helped.err
    assert helped.err.count("\n") == 1
    assert (unknown.code, "no command 'greet'" in unknown.err) == (1, True)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (f"{PRODUCT}\ndef x(:\n", "infra/product/tasks.py:13", "SyntaxError: "),
        (f"{PRODUCT}\nimport babel_of_the_shop\n", "infra/product/tasks.py:13", "add it to `product`"),
        (f"{PRODUCT}\n1 / 0\n", "infra/product/tasks.py:13", "ZeroDivisionError: division by zero. Correct it there"),
        (f"{PRODUCT}\nraise SystemExit(3)\n", "infra/product/tasks.py:13", "SystemExit: 3"),
        (PRODUCT.replace("name=", "nmae="), "infra/product/tasks.py", "nmae"),
        ("from infra.product import more", "infra/product/more.py:2", "KeyError: 'x'"),
    ],
    ids=["syntax", "package", "exception", "exit", "help", "module-beside"],
)
def test_a_module_that_cannot_be_loaded_leaves_the_grounds_commands(
    copy: Path, text: str, place: str, said: str
) -> None:
    """File, line and what to do are one line on stderr; a command of the ground works and answers as without it."""
    (copy / "infra" / "product" / "more.py").write_text("numbers: dict[str, int] = {}\nnumbers['x']\n")
    write_tasks(copy, text)
    status, listed, unknown = invoke_each(copy, [["status"], ["--list"], ["greet"]])
    assert (status.code, "nothing runs" in status.out, "\nYours" in listed.out) == (0, True, False)
    for each in (status, listed):
        assert each.err.startswith(f"{place}: the product's commands cannot be used: ")
        assert said in each.err
        assert each.err.count("\n") == 1
    assert (unknown.code, "no command 'greet'" in unknown.err, "Traceback" in unknown.err) == (1, True, False)


def test_a_product_needs_no_module_of_commands(copy: Path) -> None:
    """Where there is none, nothing is said."""
    (copy / "infra" / "product" / "tasks.py").unlink(missing_ok=True)
    [status] = invoke_each(copy, [["status"]])
    assert (status.code, status.err) == (0, "")
