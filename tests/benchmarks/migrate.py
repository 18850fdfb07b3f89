"""Migrating where nothing is pending, against a bare invoke task: what "nothing to do" costs beyond starting.

drizzle-kit takes 3.4 times a bare task's processor time for it; the limit is three quarters of that.
"""

from contextlib import ExitStack

from infra.settings import BackendChoice
from tests.benchmarks.cases import Case, Side, Suite, Target
from tests.benchmarks.checkouts import bare_task, copy_project
from tests.benchmarks.commands import run
from tests.benchmarks.machine import free_ports
from tests.fixtures.availability import embedded_lacks

_NAME = "migrate-nothing"


def _set_up(undo: ExitStack) -> tuple[Case, ...]:
    checkout = copy_project("migrate", undo, STACK_BACKEND=BackendChoice.EMBEDDED)
    ports = free_ports(checkout.settings, checkout.project())
    checkout.environ.update({f"{service.upper()}_PORT": str(port) for service, port in ports.items()})
    undo.callback(run, checkout.invoke("down", "--volumes", "--yes"))
    run(checkout.invoke("up", "migrate"))
    return (Case(_NAME, Side("invoke migrate", checkout.invoke("migrate")), bare_task(undo), Target(2.5)),)


SUITE = Suite((_NAME,), embedded_lacks, _set_up)
