"""Generating and migrating against drizzle-kit: the same steps on tables of the same shape, on one server.

Ours starts where the same was done once before in this checkout, as the round that does not count does: the template of
the shadow database is there. Ours also applies and compares with the product's own first migration, which drizzle-kit
has no counterpart of. The server's processor time and memory are in neither side's figures.
"""

from contextlib import ExitStack
from functools import partial

from tests.ground.benchmarks import drizzle, many_tables
from tests.ground.benchmarks.cases import Case, Suite, Target
from tests.ground.benchmarks.commands import Figure
from tests.ground.benchmarks.steps import Step
from tests.kit.availability import embedded_lacks

_EVERY = {1: 1, 10: 1, 100: 1, 500: 3}  # by number of tables: the rounds that a case is timed in
_BOTH = (Figure.WALL, Figure.CPU)


def target(step: Step, count: int) -> Target | None:
    """Return the limit of a step on so many tables.

    At few tables starting up is most of the time; there the limit is on what comes on top of it, in
    `tests.ground.benchmarks.generate`.
    """
    if step in {Step.GENERATE_NO_CHANGE, Step.MIGRATE_NOTHING}:
        return Target(0.75, figures=_BOTH)
    return Target(1.0, figures=_BOTH) if count >= 100 else None


def _suite(count: int) -> Suite:
    return Suite(tuple(_name(step, count) for step in Step), _lacks, partial(_set_up, count))


def _lacks() -> str | None:
    return embedded_lacks() or drizzle.drizzle_lacks()


def _set_up(count: int, undo: ExitStack) -> tuple[Case, ...]:
    ours = many_tables.make_tables(f"tables-{count}", count, undo)
    peer = drizzle.make_tables(ours.checkout, count)
    return tuple(
        Case(_name(step, count), ours.side(step), peer.side(step), target(step, count), every=_EVERY[count])
        for step in Step
    )


def _name(step: Step, count: int) -> str:
    return f"{step}-{count}"


SUITES = tuple(map(_suite, _EVERY))
