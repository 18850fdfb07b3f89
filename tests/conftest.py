"""What every test may use. The fixtures stand in `tests/kit`, a file for each thing they give."""

import gc
import os
import signal
from pathlib import Path

import pytest

from infra.commands.failure import exit_code
from infra.config.errors import InfraError
from infra.config.settings import Settings
from infra.config.versions import POSTGRES_VERSIONS
from tests.ground.own_models import has_own_models
from tests.kit.availability import BACKENDS, CHOSEN, LACKS, chosen, quickest_first

pytest_plugins = [
    "tests.kit.cases",
    "tests.kit.checkout",
    "tests.kit.database",
    "tests.kit.drift",
    "tests.kit.keeping",
    "tests.kit.repositories",
    "tests.kit.queries",
    "tests.kit.stack",
    "tests.kit.product",  # after the ground's, whose `stack` and `tenant` it is preferred to
    "tests.kit.bare_server",  # after those that it imports, which pytest could not rewrite otherwise
    "tests.kit.release",
]

_GROUND = Path(__file__).resolve().parent / "ground"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run be kept to one backend, and be of another version of PostgreSQL."""
    parser.addoption(
        "--backend",
        choices=["auto", *map(str, BACKENDS)],
        default="auto",
        help="Run on this backend alone, and fail where it is not available (auto: on each that is).",
    )
    parser.addoption(
        "--postgres",
        choices=list(map(str, POSTGRES_VERSIONS)),
        help="Bring the tests' stack up on this version of PostgreSQL (the default one).",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run the ground's tests on a product's models, and any where the settings name a database.

    That is somebody's; the tests bring up their own.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what it puts in the background so, and all that is started from here would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if version := config.getoption("--postgres"):
        CHOSEN["POSTGRES_VERSION"] = version
    paths = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    if any(path.is_relative_to(_GROUND) for path in paths) and not has_own_models():
        pytest.exit("The ground's tests run on models of their own: `invoke test --ground`.", returncode=2)
    try:
        settings = Settings.load()
    except InfraError as error:
        pytest.exit(str(error), returncode=exit_code(error))
    keys = ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_MAINTENANCE_URL", "DATABASE_ADMIN_URL")
    named = [key for key in keys if getattr(settings, key.lower()) is not None]
    if named:
        pytest.exit(
            f"{', '.join(named)} names a database, and the tests only ever use the stack that they bring up for "
            "themselves. Unset it for the tests. Nothing was connected to.",
            returncode=2,
        )


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave the ground's tests out where there are the models of a product: they run on models of their own."""
    return True if collection_path == _GROUND and not has_own_models() else None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remove what killed runs left behind, before any worker starts."""
    from tests.kit.left_over import remove_of_dead_runs
    from tests.kit.stack import WORKER, remove_left_over

    if not WORKER and not session.config.option.collectonly:
        remove_left_over()
        remove_of_dead_runs()


def pytest_collection_finish() -> None:
    """Keep what was collected out of later garbage collections: a forked child copies all that one goes through."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove what this process's tests left behind."""
    from tests.kit.left_over import remove_of_this_run

    if not session.config.option.collectonly:
        remove_of_this_run()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use every core, each worker on a stack of its own; single files and tests start sooner without workers."""
    named = all("::" in argument or argument.endswith(".py") for argument in config.args)
    return 0 if named else os.cpu_count() or 1


def pytest_report_header() -> list[str]:
    """Say what the run has to run on."""
    return [f"{choice}: {LACKS[choice]() or 'available'}" for choice in BACKENDS]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a backend on each that was chosen; one that is not available says so as a skip."""
    if "backend" in metafunc.fixturenames:
        backends = chosen(metafunc.config)
        quickest, *others = quickest_first(backends)
        if metafunc.definition.get_closest_marker("one_backend"):
            backends = [quickest]
        slow = others if metafunc.definition.get_closest_marker("quick_on_one") else []
        each = [pytest.param(c, marks=[pytest.mark.slow] if c in slow else []) for c in backends]
        metafunc.parametrize("backend", each, indirect=True, ids=str)
