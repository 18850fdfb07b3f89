"""The databases of tests that failed: they stay, with the stack that holds them, until the next run."""

from collections.abc import Generator

import pytest

from infra.config.identity import Project, state_directory
from infra.config.urls import DatabaseUrl

DATABASE = pytest.StashKey[tuple[DatabaseUrl, Project]]()
KEPT: list[str] = []
"""The names of this process's databases that stay."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say how many databases of failed tests stay."""
    parser.addoption(
        "--keep-failed",
        type=int,
        default=3,
        metavar="N",
        help="Keep the databases of the first N tests with `database` that fail, until the next run (3).",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the database of a test that fails, and print how to look into it."""
    report = yield
    made = item.stash.get(DATABASE, None)
    if report.failed and call.when == "call" and made and len(KEPT) < item.config.getoption("--keep-failed"):
        url, project = made
        KEPT.append(url.database)
        passwords = _password_file(url, project)
        line = f"PGPASSFILE={passwords} psql -h {url.host} -p {url.port} -U {url.user} {url.database}"
        report.sections.append(("database, kept until the next run", line))
    return report


def _password_file(url: DatabaseUrl, project: Project) -> str:
    """Write the owner's password where psql reads it, and nobody else can."""
    path = state_directory(project) / "kept.pgpass"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_text(f"{url.host}:{url.port}:*:{url.user}:{url.password.reveal()}\n", encoding="utf-8")
    return str(path)
