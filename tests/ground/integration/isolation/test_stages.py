"""What one stage of the check has found is told although another fails: the kind is a report lost to a later error."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from infra.config.errors import ConfigError
from infra.config.settings import CHECKOUT, Role
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.errors import DatabaseUnavailable, IsolationError, MigrationError, ModelError, SchemaError
from schema.isolation.check import check
from schema.isolation.formats import text
from schema.isolation.report import Report, Stage
from schema.migration import models
from tests.ground.integration.isolation.conftest import migration
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

OFF = "ALTER TABLE users DISABLE ROW LEVEL SECURITY"


@pytest.fixture
def damaged(clone: DatabaseUrl, stack: RunningStack) -> DatabaseUrl:
    """Give the owner's URL of a database of which the catalogue alone tells that something is open."""
    with connect(clone, stack.settings, autocommit=True) as connection:
        connection.execute(OFF)
    return clone


@pytest.fixture
def member(admin: BoundedConnection, migrated: DatabaseUrl) -> Iterator[None]:  # noqa: ARG001 - made before
    """Let the application's role become the owner, once there is a database: none can be made meanwhile."""
    admin.execute("GRANT app_owner TO app_user")
    yield
    admin.execute("REVOKE app_owner FROM app_user")


def broken(report: Report) -> set[tuple[str, str]]:
    """Return the rule and the object of each finding."""
    return {(finding.rule, finding.object) for finding in report.findings}


def outcomes(report: Report) -> dict[Stage, type[Exception] | None]:
    """Return by stage the kind of error that ended it."""
    return {result.stage: type(result.error) if result.error else None for result in report.stages}


@pytest.mark.usefixtures("member")
def test_a_clone_that_cannot_be_made_hides_nothing(stack: RunningStack, migrated: DatabaseUrl) -> None:
    """What would be wrong in the clone as well, a member of the owner, is a finding; the exit code is the check's."""
    report = check(migrated, stack.url(Role.USER), stack.settings)
    assert "role-membership" in {rule for rule, _ in broken(report)}
    assert {stage for stage, error in outcomes(report).items() if error} == {Stage.MODELS, Stage.ATTACKS}
    assert "other rights than declared" in text.render(report)
    with pytest.raises(IsolationError, match="The report names what was not looked at"):
        report.require()


@pytest.mark.usefixtures("member")
def test_the_command_prints_what_it_found_before_it_fails(stack: RunningStack, migrated: DatabaseUrl) -> None:
    """JSON holds the findings, and of each stage its outcome and reason; the exit code is 6."""
    environ = os.environ | {
        "APP_ENV": "test",
        "DATABASE_SSLMODE": "disable",
        "DATABASE_OWNER_URL": migrated.libpq(),
        "DATABASE_URL": stack.url(Role.USER).on(migrated.database).libpq(),
    }
    command = [sys.executable, "-m", "invoke", "check", "--json"]
    done = subprocess.run(command, cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (6, False), done.stderr
    answer = json.loads(done.stdout)
    assert answer["isolated"] is False
    assert "role-membership" in {finding["rule"] for finding in answer["findings"]}
    assert {stage["stage"]: stage["outcome"] for stage in answer["stages"]} == {
        "catalogue": "complete",
        "migrations": "complete",
        "models": "failed",
        "attacks": "failed",
    }
    assert all(stage["reason"] for stage in answer["stages"] if stage["outcome"] == "failed")


def test_a_migration_that_fails_hides_nothing(stack: RunningStack, damaged: DatabaseUrl, checkout: Path) -> None:
    """What the catalogue and the files show is told where the migrations cannot be applied to the clone."""
    migration(checkout, "SELECT 1 / 0")
    report = check(damaged, stack.url(Role.USER), stack.settings, checkout=checkout)
    assert ("row-security-off", "users") in broken(report)
    assert outcomes(report)[Stage.ATTACKS] is MigrationError


def test_a_failed_stage_ends_with_its_own_error(stack: RunningStack, migrated: DatabaseUrl, checkout: Path) -> None:
    """Where nothing was found, the error is that of the stage, and nothing is called isolated."""
    migration(checkout, "SELECT 1 / 0")
    report = check(migrated, stack.url(Role.USER), stack.settings, checkout=checkout)
    assert report.findings == ()
    assert text.render(report).endswith("no finding in catalogue, migrations; not looked at in full: models, attacks")
    with pytest.raises(MigrationError, check=about(sqlstate="22012")):
        report.require()


def test_models_that_cannot_be_read_hide_nothing(
    stack: RunningStack, damaged: DatabaseUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attacks need no models, and are made."""

    def load_models() -> None:
        raise ModelError("a model")

    monkeypatch.setattr(models, "load_models", load_models)
    report = check(damaged, stack.url(Role.USER), stack.settings)
    assert ("row-security-off", "users") in broken(report)
    assert outcomes(report) == {
        Stage.CATALOGUE: None,
        Stage.MIGRATIONS: ModelError,
        Stage.MODELS: ModelError,
        Stage.ATTACKS: None,
    }
    assert report.attacks > 0


def test_migrations_that_cannot_be_read_hide_nothing(stack: RunningStack, damaged: DatabaseUrl, checkout: Path) -> None:
    """Without them there is no clone; the catalogue is told."""
    (checkout / "migrations" / "versions" / "9999_broken.py").write_text("revision = (")
    report = check(damaged, stack.url(Role.USER), stack.settings, checkout=checkout)
    assert broken(report) == {("row-security-off", "users")}
    assert outcomes(report)[Stage.MIGRATIONS] is MigrationError
    assert report.incomplete["the migrations cannot be read"] == (Stage.MODELS, Stage.ATTACKS)


FACTORIES = "[tool.groundwork.isolation.factories]"


def test_a_factory_that_is_not_there_hides_nothing(stack: RunningStack, damaged: DatabaseUrl, checkout: Path) -> None:
    """What the other stages have found is told."""
    with (checkout / "pyproject.toml").open("a") as stream:
        stream.write(f'\n{FACTORIES}\nusers = "nowhere:user"\n')
    report = check(damaged, stack.url(Role.USER), stack.settings, checkout=checkout)
    assert ("row-security-off", "users") in broken(report)
    assert {stage: error for stage, error in outcomes(report).items() if error} == {Stage.ATTACKS: ConfigError}


admin_url: list[tuple[DatabaseUrl, Any]] = []
calls = count(1)


def interrupting(tenant: UUID) -> dict[str, Any]:
    """Let the server end every session of the clone when the table's rows are asked for the second time."""
    if next(calls) == 2:
        (url, settings) = admin_url[0]
        with connect(url, settings, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname ~ '^groundwork_shadow_app_[0-9]+$' AND usename = 'app_user'"
            )
    return {"email": f"{tenant}@example.com"}


def test_a_server_that_goes_away_hides_nothing(stack: RunningStack, migrated: DatabaseUrl, checkout: Path) -> None:
    """What the attacks have achieved until then is told, and that they did not come to their end."""
    global calls  # noqa: PLW0603 - the factory is called by name
    calls = count(1)
    admin_url[:] = [(stack.admin, stack.settings)]
    migration(checkout, "ALTER TABLE tenant_features DISABLE ROW LEVEL SECURITY")
    with (checkout / "pyproject.toml").open("a") as stream:
        stream.write(f'\n{FACTORIES}\nusers = "{__name__}:interrupting"\n')
    report = check(migrated, stack.url(Role.USER), stack.settings, checkout=checkout)
    assert ("probe-delete", "tenant_features") in broken(report)
    assert outcomes(report)[Stage.ATTACKS] is DatabaseUnavailable


def test_a_server_that_is_away_leaves_the_migrations(stack: RunningStack, checkout: Path) -> None:
    """The files are read without it; the error is that of the connection."""
    migration(checkout, "UPDATE tenants SET name = name")
    nowhere = DatabaseUrl("app_owner", stack.url(Role.OWNER).password, "127.0.0.1", 1, "app")
    settings = replace(stack.settings, database_connect_deadline=timedelta())
    report = check(nowhere, stack.url(Role.USER), settings, checkout=checkout)
    assert {rule for rule, _ in broken(report)} == {"data-statement"}
    assert outcomes(report)[Stage.CATALOGUE] is DatabaseUnavailable
    assert report.incomplete["the catalogue could not be read"] == (Stage.MODELS, Stage.ATTACKS)


def test_a_fault_of_the_check_itself_hides_nothing(
    stack: RunningStack, damaged: DatabaseUrl, migrated: DatabaseUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named beside the findings; where there are none it is raised, with its traceback."""

    def read_shapes(_: object) -> None:
        raise KeyError("a column")

    monkeypatch.setattr("schema.isolation.probe.run.read_shapes", read_shapes)
    report = check(damaged, stack.url(Role.USER), stack.settings)
    assert ("row-security-off", "users") in broken(report)
    assert "a fault of the check itself: KeyError: 'a column'" in text.render(report)
    with pytest.raises(KeyError):
        check(migrated, stack.url(Role.USER), stack.settings).require()


@pytest.mark.parametrize("error", [psycopg.errors.DiskFull("no room"), psycopg.OperationalError("gone")])
def test_whatever_the_server_says_of_a_clone_hides_nothing(
    error: psycopg.Error, stack: RunningStack, damaged: DatabaseUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the driver is explained as any other, and ends no more than its stages."""

    def upgrade(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("schema.migration.apply.upgrade.upgrade", upgrade)
    report = check(damaged, stack.url(Role.USER), stack.settings)
    assert ("row-security-off", "users") in broken(report)
    assert all(issubclass(found, SchemaError) for found in outcomes(report).values() if found)
    assert not report.is_isolated
