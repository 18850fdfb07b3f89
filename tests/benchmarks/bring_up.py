"""Bringing the stack up, on each backend: from nothing, from stopped, and where it is up already.

On Docker the peer is `docker compose up -d --wait` on the same declaration, rendered as a compose file, with a health
check every second; it is another project, on other ports. As plain processes there is no such peer, and the limit is on
what is spent beyond a bare invoke task.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum, auto

from infra.compose import compose_environment, render_compose
from infra.settings import BackendChoice
from infra.spec import StackSpec, build_stack
from tests.benchmarks.cases import Case, Measure, Side, Suite, Target
from tests.benchmarks.checkouts import Checkout, bare_task, copy_project
from tests.benchmarks.commands import Command, run
from tests.benchmarks.machine import free_ports, with_local_images
from tests.fixtures.availability import docker_lacks, embedded_lacks

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
    """A command line that runs a stack: the same three moves, each in its own words."""

    label: str
    up: Command
    stop: Command
    wipe: Command

    def from_(self, state: _State, *before: Command) -> Side:
        """Return its `up` from a state."""
        steps = {_State.COLD: (self.wipe,), _State.STOPPED: (self.up, self.stop), _State.UP: (self.up,)}
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
    tool = _Tool(
        "invoke up",
        up=checkout.invoke("up"),
        stop=checkout.invoke("down"),
        wipe=checkout.invoke("down", "--volumes", "--yes"),
    )
    undo.callback(run, tool.wipe)
    return tool


def _compose(checkout: Checkout, declared: StackSpec, undo: ExitStack) -> _Tool:
    spec = replace(
        declared.on_ports(free_ports(checkout.settings, declared.project)), health_interval=_COMPOSE_HEALTH_INTERVAL
    )
    file = checkout.folder / "compose.json"
    file.write_text(render_compose(spec), encoding="utf-8")

    def compose(*words: str) -> Command:
        options = ("--project-name", spec.project.id, "--file", str(file))
        return Command(("docker", "compose", *options, *words), checkout.folder, compose_environment(spec))

    tool = _Tool(
        "docker compose up -d --wait",
        up=compose("up", "-d", "--wait"),
        stop=compose("stop"),
        wipe=compose("down", "--volumes"),
    )
    undo.callback(run, tool.wipe)
    return tool


DOCKER = Suite(tuple(_DOCKER), docker_lacks, _docker_cases)
EMBEDDED = Suite(tuple(_EMBEDDED), embedded_lacks, _embedded_cases)
