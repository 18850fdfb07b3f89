"""Whatever a user does on a modelled engine between the stack's commands, what is the user's stays as it was left."""

import pytest
from hypothesis import settings
from hypothesis.stateful import initialize, run_state_machine_as_test

from tests.ground.properties.fake_engine import FakeEngine
from tests.ground.properties.ownership_machine import OwnershipMachine, founds
from tests.ground.unit.test_spec import declared


class OnAModelledEngine(OwnershipMachine):
    """The machine on an engine in memory."""

    @initialize(found=founds)
    def start(self, found: str | None) -> None:
        """Begin with an engine that holds the images, and perhaps volumes."""
        spec = declared()
        self.begin(
            FakeEngine({container.image: f"id of {container.image}" for container in spec.containers}), spec, found
        )


QUICK = settings(max_examples=60, stateful_step_count=16, deadline=None)
LONG = settings(QUICK, max_examples=200)


@pytest.mark.parametrize("extent", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=["quick", "long"])
def test_what_is_the_users_stays_on_a_modelled_engine(extent: settings) -> None:
    """Any order of the stack's commands and a user's own leaves what is the user's as it was."""
    run_state_machine_as_test(OnAModelledEngine, settings=extent)
