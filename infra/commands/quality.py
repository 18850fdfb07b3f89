"""Quality: what proves the code."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from invoke.context import Context

from infra.commands import cli
from infra.commands.cli import command

# The commands of `lint`, and of .pre-commit-config.yaml.
CHECKS = ("ruff format --check .", "ruff check .", "mypy", "lint-imports")
_FORMATTERS = ("ruff check --fix --exit-zero --quiet .", "ruff format .")


@command()
def lint(context: Context) -> None:
    """Run every static check: format, lint, types, layers."""
    _run_each(context, CHECKS)


@command()
def format(context: Context) -> None:  # noqa: A001 - it is the name of the command
    """Format the code, and correct what the linter can correct itself."""
    _run_each(context, _FORMATTERS)


def _run_each(context: Context, commands: Sequence[str]) -> None:
    # The tools of this very environment, whether or not it is activated.
    tools = shlex.quote(str(Path(sys.executable).parent))
    for each in commands:
        cli.say(f"$ {each}")
        context.run(f"{tools}/{each}")


@command(
    options="Options for pytest, as one string.",
    ground="The ground's tests alone, on models of their own, whatever the product declares.",
    coverage="Report which lines and branches no test has run; what commands do in other processes is not counted.",
)
def test(context: Context, options: str = "", ground: bool = False, coverage: bool = False) -> None:
    """Run the tests on the stack that they bring up for themselves."""
    module = "tests.ground" if ground else "pytest"
    given = f"--cov --cov-report=term {options}" if coverage else options
    context.run(f"{sys.executable} -m {module} {given}".rstrip(), pty=sys.stdout.isatty())


@command(only="Only defences whose name holds this text.")
def mutate(context: Context, only: str = "") -> None:
    """Remove each defence of isolation in a copy of the project, and see a test turn red."""
    context.run(f"{sys.executable} -m tests.ground.mutations --only {shlex.quote(only)}")


@command(output="The file for the figures.", rounds="How often each case is timed.")
def bench(context: Context, output: str = "bench.json", rounds: str = "7") -> None:
    """Time the commands against their peers, interleaved; write medians and spread as JSON."""
    count = cli.number(rounds, "--rounds")
    context.run(f"{sys.executable} -m tests.ground.benchmarks --rounds {count} --output {shlex.quote(output)}")
