"""Whatever runs and lies in the folders, a plan leads from there to the declared processes, and loses no data."""

import signal
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.backends.embedded.plan import Observed, Verb, plan_up
from infra.backends.embedded.server import Launch
from infra.backends.protocol import Operation
from infra.config.identity import OUR_SERVICES, Service
from infra.config.secret import Secret

HASHES = ["of another declaration", None]


@dataclass
class ModelledMachine:
    """What runs of each server, with what it was started, and whether its data was finished."""

    servers: dict[Service, Observed]

    def carry_out(self, launches: dict[Service, Launch], operation: Operation) -> None:
        """Do what one operation says, and refuse what no machine could do."""
        service = Service(operation.target)
        found = self.servers[service]
        match operation.verb:
            case Verb.STOP:
                assert found.running
                self.servers[service] = replace(found, running=False)
            case Verb.INITIALISE:
                assert not found.running
                # Redis finds its data in its folder; PostgreSQL's is finished when it has served.
                self.servers[service] = replace(found, complete=service == Service.REDIS)
            case Verb.START:
                assert not found.running
                self.servers[service] = replace(found, running=True, config_hash=launches[service].config_hash)
            case _:
                raise AssertionError(f"no such step: {operation}")


def launch(service: Service, port: int, password: str) -> Launch:
    """Declare a server as a process."""
    return Launch(
        service=service,
        directory=Path("/state") / service / "data",
        command=(service, "-c", f"port={port}"),
        config="",
        password_line=Secret(password),
        port=port,
        stop_signal=signal.SIGTERM,
        stop_seconds=1,
    )


declarations = st.fixed_dictionaries(
    {
        service: st.builds(launch, st.just(service), st.integers(5432, 5433), st.sampled_from(["S3cret", "another"]))
        for service in OUR_SERVICES
    }
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[Service, Launch], ModelledMachine]:
    """Draw a declaration, and a machine after any history of commands that ended, or were ended anywhere."""
    launches = draw(declarations)
    states = {
        service: st.builds(
            Observed,
            running=st.booleans(),
            config_hash=st.sampled_from([declared.config_hash, *HASHES]),
            complete=st.booleans(),
        )
        for service, declared in launches.items()
    }
    return launches, ModelledMachine(draw(st.fixed_dictionaries(states)))


@settings(max_examples=50)
@given(worlds(), st.integers(0, 6))
def test_up_reaches_what_is_declared(world: tuple[dict[Service, Launch], ModelledMachine], steps: int) -> None:
    """The plan, also after one that was ended on its way, leads to the declared processes; no finished data goes."""
    launches, machine = world
    for part in (steps, None):
        for operation in plan_up(tuple(launches.values()), machine.servers)[:part]:
            assert operation.cause
            assert operation.verb != Verb.INITIALISE or not machine.servers[Service(operation.target)].complete
            machine.carry_out(launches, operation)
    assert plan_up(tuple(launches.values()), machine.servers) == ()
    for service, found in machine.servers.items():
        assert (found.running, found.config_hash) == (True, launches[service].config_hash)
