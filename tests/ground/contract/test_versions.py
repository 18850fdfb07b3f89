"""PostgreSQL's and Redis' other versions, on the command line."""

import pytest

from infra.config.settings import BackendChoice
from tests.kit.checkout import Checkout, Serve
from tests.kit.world import things_of


def test_data_of_another_version_is_neither_left_behind_nor_started_on(served: Checkout) -> None:
    """`up` names the way that takes it along, starts nothing and stops nothing."""
    before = _lasting(served), served.status()["services"]
    refused = served.invoke("up", POSTGRES_VERSION="18")
    assert refused.returncode == 4
    assert "`invoke up --upgrade 18`" in refused.stderr
    assert (_lasting(served), served.status()["services"]) == before


def _lasting(checkout: Checkout) -> set[str]:
    """Name what exists of a checkout's stack, but for the processes that come and go."""
    return {thing for thing in things_of(checkout.project, checkout.backend) if not thing.startswith("process")}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"POSTGRES_VERSION": "17"}, "no PostgreSQL 17 for plain processes"),
        ({"REDIS_VERSION": "8"}, "REDIS_VERSION=8"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_plain_processes_refuse_a_version_that_they_lack(settings: dict[str, str], said: str, serve: Serve) -> None:
    """The error names the setting and where there is such a server."""
    refused = serve(BackendChoice.EMBEDDED).invoke("plan", **settings)
    assert refused.returncode == 3
    assert said in refused.stderr
    assert "STACK_BACKEND=docker" in refused.stderr
