"""Bringing the stack up, on each backend: from nothing, from stopped, and where it is up already.

On Docker the peer is `docker compose up -d --wait` on the same declaration, rendered as a compose file, with a health
check every second; it is another project, on other ports. As plain processes there is no such peer, and the limit is on
what is spent beyond a bare invoke task.

Each cold start is another project's, and all their data is removed at the end: ext4 looks for a new file's inode past
those that were freed in the last minutes, so a cold start that follows the removal of another's thousand files pays for
it (0.3 s were seen), as no first start of a user's does.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum, auto
from itertools import count

from infra.config.settings import BackendChoice
from infra.declaration.compose import compose_environment, render_compose
from infra.declaration.spec import StackSpec, build_stack
from tests.ground.benchmarks.cases import Case, Measure, Side, Suite, Target
from tests.ground.benchmarks.checkouts import Checkout, bare_task, copy_project
from tests.ground.benchmarks.commands import Command, Work, run
from tests.ground.benchmarks.machine import free_ports, remove_all_but_data, with_local_images
from tests.kit.availability import docker_lacks, embedded_lacks

_COMPOSE_HEALTH_INTERVAL = timedelta(seconds=1)


class _State(StrEnum):
    """What is there when `up` is called."""

    COLD = auto()
    STOPPED = auto()
    UP = auto()


_DOCKER = {
    "docker-cold": (_State.COLD, Target(0.8), Target(0.7)),
    "docker-stopped": (_State.STOPPED, None, Target(0.5)),
    "docker-up": (_State.UP, Target(0.9), Target(0.8)),
}
_EMBEDDED = {
    "embedded-cold": (_State.COLD, Target(1.2, Measure.BEYOND)),
    "embedded-warm": (_State.STOPPED, Target(0.6, Measure.BEYOND)),
    "embedded-up": (_State.UP, None),
}


@dataclass(frozen=True, slots=True)
class _Tool:
    """A command line that runs a stack: the same moves, each in its own words.

    `renew` leaves the project behind for a new one, with nothing of the former but its data in the way.
    """

    label: str
    up: Command
    stop: Command
    renew: Work

    def from_(self, state: _State, *before: Command) -> Side:
        """Return its `up` from a state."""
        steps: dict[_State, tuple[Command | Work, ...]] = {
            _State.COLD: (self.stop, self.renew),
            _State.STOPPED: (self.up, self.stop),
            _State.UP: (self.up,),
        }
        return Side(self.label, self.up, (*before, *steps[state]))


def _docker_cases(undo: ExitStack) -> tuple[Case, ...]:
    """Make a checkout on Docker and a compose project; while one is timed, the other's servers are stopped."""
    checkout = copy_project("docker", undo, STACK_BACKEND=BackendChoice.DOCKER)
    spec = with_local_images(build_stack(checkout.settings, checkout.project("compose")))
    checkout.environ.update({f"{c.service.upper()}_IMAGE": c.image for c in spec.containers})
    ours, peer = _groundwork(checkout, undo), _compose(checkout, spec, undo)
    return tuple(
        Case(name, ours.from_(state, peer.stop), peer.from_(state, ours.stop), target, aim)
        for name, (state, target, aim) in _DOCKER.items()
    )


def _embedded_cases(undo: ExitStack) -> tuple[Case, ...]:
    checkout = copy_project("embedded", undo, STACK_BACKEND=BackendChoice.EMBEDDED)
    ours, bare = _groundwork(checkout, undo), bare_task(undo)
    return tuple(Case(name, ours.from_(state), bare, target) for name, (state, target) in _EMBEDDED.items())


def _groundwork(checkout: Checkout, undo: ExitStack) -> _Tool:
    checkout.choose_ports()

    def wiped_at_the_end() -> None:
        undo.callback(run, replace(checkout.invoke("down", "--volumes", "--yes"), folder=checkout.folder.resolve()))

    def renew() -> None:
        if checkout.environ["STACK_BACKEND"] == BackendChoice.DOCKER:
            remove_all_but_data(checkout.project())
        checkout.move_on()
        wiped_at_the_end()

    wiped_at_the_end()
    return _Tool("invoke up", checkout.invoke("up"), checkout.invoke("down"), Work(renew))


def _compose(checkout: Checkout, declared: StackSpec, undo: ExitStack) -> _Tool:
    declared = declared.on_ports(free_ports(checkout.settings, declared.project))._replace(
        health_interval=_COMPOSE_HEALTH_INTERVAL
    )
    current = checkout.folder.parent / "compose.json"
    numbers = count()

    def compose(*words: str, file: str = current.name) -> Command:
        words = ("docker", "compose", "--file", file, *words)
        return Command(words, current.parent, compose_environment(declared))

    def declare() -> None:
        number = next(numbers)
        project = declared.project._replace(id=f"{declared.project.id}-{number}")
        file = current.with_name(f"compose-{number}.json")
        file.write_text(render_compose(declared._replace(project=project)), encoding="utf-8")
        undo.callback(run, compose("down", "--volumes", file=file.name))
        current.unlink(missing_ok=True)
        current.symlink_to(file)

    def renew() -> None:
        run(compose("down"))
        declare()

    declare()
    return _Tool("docker compose up -d --wait", compose("up", "-d", "--wait"), compose("stop"), Work(renew))


DOCKER = Suite(tuple(_DOCKER), docker_lacks, _docker_cases)
EMBEDDED = Suite(tuple(_EMBEDDED), embedded_lacks, _embedded_cases)
