import sys

import pytest

from infra.config.settings import CHECKOUT
from tests.ground.benchmarks.commands import Command, CommandFailed, Figure, run

HELD = 200 * 2**20
HOLD = f"held = bytearray({HELD})"
BELOW = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"


def python(*words: str) -> Command:
    """Return a run of Python without what takes time at its start."""
    return Command((sys.executable, "-I", "-S", "-c", *words), CHECKOUT, {})


def test_peak_memory_is_that_of_the_largest_process_of_the_command() -> None:
    """What a command leaves to a process below it counts as its own, and is not added up."""
    alone, below = (run(python(*words))[Figure.MEMORY] for words in ((HOLD,), (BELOW, HOLD)))
    assert 200 < alone < 230
    assert below == pytest.approx(alone, abs=5)


def test_peak_memory_is_not_that_of_the_process_that_measures() -> None:
    """A process counts its parent's memory where it was made by one that held much."""
    held = bytearray(HELD)
    assert run(python("pass"))[Figure.MEMORY] < 50
    assert len(held) == HELD


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (python("import sys; sys.exit('the reason')"), "ended with 1: the reason"),
        (python("import os; os.kill(os.getpid(), 9)"), "ended with -9"),
        (Command(("no-such-program",), CHECKOUT, {}), "No such file.*no-such-program"),
    ],
)
def test_a_command_that_fails_is_no_sample(command: Command, reason: str) -> None:
    """It says which one, how it ended, and its last words."""
    with pytest.raises(CommandFailed, match=reason):
        run(command)
