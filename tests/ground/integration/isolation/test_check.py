"""The isolation check as a whole: on the tests' stack it finds nothing, and the command says what it does find."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from infra.config.errors import ConfigError
from infra.config.settings import CHECKOUT, AppEnv, Role, SslMode
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.errors import IsolationError
from schema.isolation.check import check
from schema.isolation.formats import text
from schema.isolation.report import Report, Stage
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

FACTORY = "tool.groundwork.isolation.factories"


def catalogue_alone(url: DatabaseUrl, stack: RunningStack, checkout: Path = CHECKOUT) -> Report:
    """Check a database as in production, where nothing is attacked."""
    production = replace(stack.settings, app_env=AppEnv.PRODUCTION, database_sslmode=SslMode.PREFER)
    return check(url, stack.url(Role.USER), production, checkout=checkout)


def clones(admin: BoundedConnection) -> set[str]:
    """Return the names of all databases."""
    return {name for (name,) in admin.execute("SELECT datname FROM pg_database").fetchall()}


def test_the_product_is_isolated(isolation: Report) -> None:
    """The migrated database breaks no rule, and no attack gets through."""
    assert isolation.findings == ()
    assert isolation.incomplete == {}
    assert isolation.attacks > 0
    assert text.render(isolation).endswith(": isolated")
    allowed = {entry.object for entry in isolation.allowed}
    assert allowed >= {"tenants.uq_tenants_slug", "tenants.uq_tenants_external_id"}


def test_a_check_leaves_nothing(stack: RunningStack, admin: BoundedConnection) -> None:
    """Nothing is left of the clone."""
    before = clones(admin)
    check(stack.url(Role.OWNER), stack.url(Role.USER), stack.settings)
    assert clones(admin) == before


def test_production_has_no_clone(stack: RunningStack, migrated: DatabaseUrl) -> None:
    """There catalogue and migrations alone are judged; that is accepted, and not called isolated."""
    report = catalogue_alone(migrated, stack)
    assert (report.findings, report.attacks) == ((), 0)
    assert report.incomplete == {"production has no clones": (Stage.MODELS, Stage.ATTACKS)}
    said = text.render(report).splitlines()
    assert "production" in said[0]
    assert said[-1].endswith("no finding in catalogue, migrations; not looked at in full: models, attacks")
    assert "isolated" not in text.render(report)
    report.require()


def test_an_owner_without_createdb_has_no_clone(
    stack: RunningStack, admin: BoundedConnection, migrated: DatabaseUrl
) -> None:
    """Where no database can be made catalogue and migrations alone are judged."""
    admin.execute("ALTER ROLE app_owner NOCREATEDB")
    try:
        report = check(migrated, stack.url(Role.USER), stack.settings)
    finally:
        admin.execute("ALTER ROLE app_owner CREATEDB")
    assert report.incomplete == {"app_owner may not create a database for a clone": (Stage.MODELS, Stage.ATTACKS)}
    assert report.findings == ()


def test_without_the_applications_url_there_are_no_attacks(stack: RunningStack, migrated: DatabaseUrl) -> None:
    """Attacks are made as the application's role; where its URL is not known the models are compared all the same."""
    ((reason, stages),) = check(migrated, None, stack.settings).incomplete.items()
    assert stages == (Stage.ATTACKS,)
    assert "DATABASE_URL" in reason


def test_a_finding_is_an_error(stack: RunningStack, clone: DatabaseUrl) -> None:
    """Whoever requires isolation gets an error that names the broken rules."""
    with connect(clone, stack.settings, autocommit=True) as connection:
        connection.execute("ALTER TABLE users DISABLE ROW LEVEL SECURITY")
    report = catalogue_alone(clone, stack)
    assert [finding.object for finding in report.findings] == ["users"]
    with pytest.raises(IsolationError) as raised:
        report.require()
    assert raised.value.rules == (report.findings[0].rule,)


def test_a_catalogue_that_cannot_be_read_is_an_error(stack: RunningStack, migrated: DatabaseUrl) -> None:
    """Where no temporary table can be made the command says as whom and where to check."""
    standby = replace(migrated, query={"options": "-c default_transaction_read_only=on"})
    with pytest.raises(IsolationError, check=about(sqlstate="25006")):
        catalogue_alone(standby, stack).require()


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ('"users.pk_users" = "because"', "nothing breaks that rule there"),
        ('"tenants.uq_tenants_slug" = " "', "it gives no reason"),
    ],
    ids=["nothing", "no reason"],
)
def test_the_allow_list_is_held_to_account(
    entry: str, wrong: str, stack: RunningStack, migrated: DatabaseUrl, checkout: Path
) -> None:
    """An entry that matches nothing, or says nothing, is a finding itself, and allows nothing."""
    pyproject = checkout / "pyproject.toml"
    lines = [line for line in pyproject.read_text().splitlines() if entry.partition(" =")[0] not in line]
    heading = lines.index("[tool.groundwork.isolation.allow.unique-across-tenants]")
    pyproject.write_text("\n".join([*lines[: heading + 1], entry, *lines[heading + 1 :]]))
    found = {
        (finding.rule, finding.wrong.partition(":")[0])
        for finding in catalogue_alone(migrated, stack, checkout).findings
    }
    assert ("allow-list", wrong) in found
    assert len(found) == (1 if wrong.startswith("nothing") else 2)


def test_an_entry_for_an_attack_waits_for_the_attacks(
    stack: RunningStack, migrated: DatabaseUrl, checkout: Path
) -> None:
    """Where nothing was attacked, what allows an attack is not held to match."""
    with (checkout / "pyproject.toml").open("a") as stream:
        stream.write('\n[tool.groundwork.isolation.allow.probe-row]\n"users" = "its rows come of a queue"\n')
    assert catalogue_alone(migrated, stack, checkout).findings == ()


@pytest.mark.parametrize(
    "path",
    ["nowhere:row", "tests.ground.integration.isolation.factories:row", "tests.ground.integration.isolation.factories"],
)
def test_a_factory_that_is_not_there_is_named(path: str, stack: RunningStack, checkout: Path) -> None:
    """A path that leads to no function is an error of configuration."""
    with (checkout / "pyproject.toml").open("a") as stream:
        stream.write(f'\n[{FACTORY}]\nusers = "{path}"\n')
    with pytest.raises(ConfigError, check=about(setting=f"{FACTORY}.users")):
        check(stack.url(Role.OWNER), stack.url(Role.USER), stack.settings, checkout=checkout).require()


@pytest.fixture
def damaged(scratch_database: DatabaseUrl, stack: RunningStack) -> dict[str, str]:
    """Give the environment of a command on a database with a table that nothing guards."""
    with connect(scratch_database, stack.settings, autocommit=True) as connection:
        connection.execute("CREATE TABLE notes (id int); GRANT SELECT ON notes TO app_user")
    return os.environ | {
        "APP_ENV": "production",
        "DATABASE_SSLMODE": "disable",
        "DATABASE_OWNER_URL": scratch_database.libpq(),
        "DATABASE_URL": stack.url(Role.USER).on(scratch_database.database).libpq(),
    }


def test_the_command_ends_with_6(damaged: dict[str, str]) -> None:
    """Each finding is a line with its fix on stdout, what to do next one paragraph on stderr; JSON holds the same."""
    command = [sys.executable, "-m", "invoke", "check"]
    plain, programs = (
        subprocess.run([*command, *more], cwd=CHECKOUT, env=damaged, capture_output=True, text=True, check=False)
        for more in ([], ["--json"])
    )
    assert (plain.returncode, programs.returncode) == (6, 6)
    assert len(plain.stderr.splitlines()) == 1
    found = json.loads(programs.stdout)["findings"]
    *lines, _reasons, summary = plain.stdout.splitlines()
    assert len(lines) == len(found)
    assert summary.endswith(f"{len(found)} findings; not looked at in full: models, attacks")
    (finding,) = [finding for finding in found if finding["object"] == "SELECT ON TABLE notes"]
    assert any(finding["fix"] in line for line in plain.stdout.splitlines())
    password = damaged["DATABASE_OWNER_URL"].partition("app_owner:")[2].partition("@")[0]
    assert password not in plain.stdout + plain.stderr + programs.stdout


@pytest.mark.parametrize(("form", "begins"), [("sarif", "{"), ("markdown", "### ")])
def test_the_command_prints_other_formats(form: str, begins: str, damaged: dict[str, str]) -> None:
    """Whatever the format, stdout holds it alone, the exit code is the check's and stderr the one paragraph."""
    command = [sys.executable, "-m", "invoke", "check", "--format", form]
    done = subprocess.run(command, cwd=CHECKOUT, env=damaged, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (6, 1)
    assert done.stdout.startswith(begins)
    assert "notes" in done.stdout


@pytest.mark.parametrize(
    ("damage", "name", "wrong"),
    [
        ("ALTER TABLE users DISABLE TRIGGER set_updated_at", "users", "trigger set_updated_at is .*DISABLE"),
        ("GRANT SELECT ON users TO app_maintenance", "users", "grant to app_maintenance is not declared"),
        ("ALTER FUNCTION app.set_updated_at() STABLE", "app.set_updated_at()", "volatility is not the declared one"),
    ],
    ids=["a trigger", "a grant", "a function"],
)
def test_what_was_changed_by_hand_is_found(
    damage: str, name: str, wrong: str, stack: RunningStack, clone: DatabaseUrl
) -> None:
    """What no rule forbids and no migration made is a finding, whose statements put it right."""
    with connect(clone, stack.settings, autocommit=True) as owner:
        owner.execute(damage.encode())
        [found] = check(clone, stack.url(Role.USER), stack.settings).findings
        assert (found.rule, found.object) == ("as-declared" if name == "users" else "function-changed", name)
        assert re.search(wrong, found.wrong)
        owner.execute(found.fix.encode())
        assert check(clone, stack.url(Role.USER), stack.settings).findings == ()


def test_a_data_statement_that_touches_no_row_is_found(
    stack: RunningStack, migrated: DatabaseUrl, checkout: Path
) -> None:
    """It is named by file and line, also where it has not run yet, as in a downgrade."""
    [first] = (checkout / "migrations" / "versions").glob("0001_*.py")
    head, table, tail = first.read_text().partition('    op.drop_table("users")')
    first.write_text(f"{head}    op.execute(\"UPDATE tenants SET name = 'x'\")\n{table}{tail}")
    [found] = check(migrated, stack.url(Role.USER), stack.settings, checkout=checkout).findings
    assert (found.rule, found.object) == ("data-statement", f"{first.name}:{head.count(chr(10)) + 1}")
