"""What a command costs before it does anything, against a bare invoke task."""

from contextlib import ExitStack

from infra.config.settings import CHECKOUT
from tests.ground.benchmarks.cases import Case, Side, Suite
from tests.ground.benchmarks.checkouts import bare_task, invoke

_WORDS = {"start-list": ("--list",), "start-help": ("up", "--help")}


def _set_up(undo: ExitStack) -> tuple[Case, ...]:
    bare = bare_task(undo)
    return tuple(
        Case(name, Side(f"invoke {' '.join(words)}", invoke(CHECKOUT, *words)), bare) for name, words in _WORDS.items()
    )


SUITE = Suite(tuple(_WORDS), lambda: None, _set_up)
