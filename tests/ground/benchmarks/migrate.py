"""Migrating where nothing is pending, against a bare invoke task: what "nothing to do" costs beyond starting.

drizzle-kit takes 3.4 times a bare task's processor time for it; the limit is three quarters of that.
"""

from contextlib import ExitStack

from tests.ground.benchmarks.cases import Case, Side, Suite, Target
from tests.ground.benchmarks.checkouts import bare_task, served_project
from tests.ground.benchmarks.commands import run
from tests.kit.availability import embedded_lacks

_NAME = "migrate-nothing-over-bare"


def _set_up(undo: ExitStack) -> tuple[Case, ...]:
    checkout = served_project("migrate", undo)
    run(checkout.invoke("migrate"))
    return (Case(_NAME, Side("invoke migrate", checkout.invoke("migrate")), bare_task(undo), Target(2.5)),)


SUITE = Suite((_NAME,), embedded_lacks, _set_up)
