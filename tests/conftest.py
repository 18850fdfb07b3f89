"""What every test may use. The fixtures stand in `tests/fixtures`, a file for each thing they give."""

import os

import pytest

from infra.errors import InfraError
from infra.settings import BackendChoice, Settings
from tests.fixtures.availability import LACKS

pytest_plugins = [
    "tests.fixtures.cases",
    "tests.fixtures.checkout",
    "tests.fixtures.database",
    "tests.fixtures.drift",
    "tests.fixtures.stack",
]

_BACKENDS = [BackendChoice.DOCKER, BackendChoice.EMBEDDED]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run be kept to one backend."""
    parser.addoption(
        "--backend",
        choices=["auto", *map(str, _BACKENDS)],
        default="auto",
        help="Run on this backend alone, and fail where it is not available (auto: on each that is).",
    )


def pytest_configure() -> None:
    """Refuse to run where the settings name a database: it is somebody's, and the tests bring up their own."""
    try:
        settings = Settings.load()
    except InfraError as error:
        pytest.exit(str(error), returncode=error.exit_code)
    keys = ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_MAINTENANCE_URL", "DATABASE_ADMIN_URL")
    named = [key for key in keys if getattr(settings, key.lower()) is not None]
    if named:
        pytest.exit(
            f"{', '.join(named)} names a database, and the tests only ever use the stack that they bring up for "
            "themselves. Unset it for the tests. Nothing was connected to.",
            returncode=2,
        )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remove what killed runs left behind, before any worker starts."""
    from tests.fixtures.stack import WORKER, remove_left_over

    if not WORKER and not session.config.option.collectonly:
        remove_left_over()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use every core, each worker on a stack of its own; single files and tests start sooner without workers."""
    named = all("::" in argument or argument.endswith(".py") for argument in config.args)
    return 0 if named else os.cpu_count() or 1


def pytest_report_header() -> list[str]:
    """Say what the run has to run on."""
    return [f"{choice}: {LACKS[choice]() or 'available'}" for choice in _BACKENDS]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a backend on each that was chosen; one that is not available says so as a skip."""
    if "backend" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--backend")
        backends = [c for c in _BACKENDS if chosen in {"auto", c}]
        if metafunc.definition.get_closest_marker("one_backend"):
            backends = sorted(backends, key=lambda c: (LACKS[c]() is not None, c is BackendChoice.DOCKER))[:1]
        metafunc.parametrize("backend", backends, indirect=True, ids=str)
