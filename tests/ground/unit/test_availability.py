"""What the tests do where this machine lacks something."""

import pytest

from infra.config.errors import EnvironmentFault
from tests.kit.availability import needed_psql, needs_redis_cli


def lacking(*_: object) -> None:
    """Refuse, as where the wheel is not installed."""
    raise EnvironmentFault("The wheel is not installed")


def test_what_needs_a_client_is_skipped_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the client; where a run is to have everything, the test fails instead."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("infra.backends.embedded.binaries.find_postgres", lacking)
    for need, name in ((needed_psql, "psql"), (needs_redis_cli, "redis-cli")):
        monkeypatch.delenv("STACK_REQUIRE_DOCKER", raising=False)
        with pytest.raises(pytest.skip.Exception, match=f"no {name}: "):
            need()
        monkeypatch.setenv("STACK_REQUIRE_DOCKER", "1")
        with pytest.raises(pytest.fail.Exception, match=f"no {name}: "):
            need()
