"""Every day: the servers of this checkout."""

import sys
from collections.abc import Iterator
from json import dumps

from invoke.context import Context

from infra.commands import cli, tables
from infra.commands.cli import command
from infra.commands.own_stack import preparation, project
from infra.config.identity import Service
from infra.config.settings import CHECKOUT, Settings, write_env_file


@command(
    json="Print JSON, for programs: what runs, and what was done for it.",
    adopt="Take over the stack that this checkout had before it was moved.",
    new="Start a new stack, though this checkout seems to have had one before it was moved.",
    upgrade="Take the data along to this version of PostgreSQL, and write it into .env.",
)
def up(_: Context, json: bool = False, adopt: bool = False, new: bool = False, upgrade: str = "") -> None:
    """Start PostgreSQL, Redis and the product's servers and wait until they serve; do nothing where they do.

    --upgrade dumps all databases of the former version while nobody can write to them, restores them into new data of
    the later one and compares the rows of each table. The former data stays.
    """
    from infra.commands import report
    from infra.stack import adoption, lifecycle
    from infra.stack.declared import generate_secrets

    if write_env_file(CHECKOUT):
        cli.say("wrote .env with generated passwords (mode 0600)")
    if added := generate_secrets(CHECKOUT):
        cli.say(f"added {', '.join(added)} to .env, generated")
    settings = Settings.load()
    ask = cli.ask if sys.stdin.isatty() else None
    settled = adoption.resolve_project(CHECKOUT, adopt=adopt, new=new, ask=ask, say=cli.say)
    if upgrade:
        from infra.stack import upgrade as upgrading

        version = cli.number(upgrade, "--upgrade")
        current = upgrading.upgrade(version, settings, settled, preparation(), cli.say, env_file=CHECKOUT / ".env")
    else:
        current = lifecycle.up(settings, settled, preparation(), cli.say)
    if json:
        print(dumps(report.describe_stack(current) | {"operations": report.steps(current.operations)}, indent=2))
    else:
        tables.show(report.HEADER, report.rows(current), fold="runs as")


@command(
    volumes="Remove the data as well; asks first.",
    yes="Answer that question with yes.",
    service="Only this server: postgres, redis or one of the product's.",
)
def down(_: Context, volumes: bool = False, yes: bool = False, service: str = "") -> None:
    """Stop the servers and keep their data."""
    from infra.stack import lifecycle

    services = cli.services_of(service, _known())
    whose = f"{service} in the stack" if service else "the stack"
    if volumes and not yes:
        cli.confirm(f"Remove all data of {whose} {project().id}?")
    stopped = lifecycle.down(project(), cli.say, volumes=volumes, services=services)
    done = "stopped" if stopped.operations else "nothing ran"
    if stopped.left:
        print(f"{done}, and all removed that `up` made. What it did not make is kept; these commands remove it:")
        print(*stopped.left, sep="\n")
    else:
        of_it = f" of {service}" if service else ""
        print(f"{done} and all data{of_it} removed" if volumes else f"{done}; the data is kept")


@command(json="Print JSON, for programs.")
def status(_: Context, json: bool = False) -> None:
    """Show what runs, where and since when."""
    from infra.commands import report
    from infra.stack import lifecycle

    current = lifecycle.status(project())
    if json:
        print(dumps(report.describe_stack(current), indent=2))
        return
    if not current.servers:
        print(f"{current.project.id}: nothing runs; `invoke up` starts it")
    else:
        tables.show(report.HEADER, report.rows(current), fold="runs as")
    for name, reason in current.left_out.items():
        print(f"{name} is left out: {reason}")


def _known() -> Iterator[Service]:
    """Yield the servers that --service may name, which are looked for where one is."""
    from infra.config.record import Record
    from infra.stack.declared import known_services

    record = Record.load(project())
    yield from known_services((*record.ports, *record.left_out) if record else ())


@command(
    service="Only this server: postgres, redis or one of the product's.",
    follow="Go on with each new line until Ctrl-C.",
    lines="How many lines of the past.",
)
def logs(_: Context, service: str = "", follow: bool = False, lines: str = "100") -> None:
    """Show the last lines of the servers' logs, also of servers that are stopped."""
    from infra.commands.logs import read
    from infra.stack import lifecycle

    services = cli.services_of(service, _known()) or lifecycle.logged_services(project())
    line = None
    for line in read(project(), services, cli.number(lines, "--lines"), follow=follow):
        print(line, flush=follow)
    if line is None:
        cli.say("nothing is logged; `invoke up` starts the servers")


@command(role="As whom: owner (the default), user, maintenance or admin.")
def psql(_: Context, role: str = "") -> None:
    """Open psql on the stack's database, or on the one that DATABASE_URL names; statements may be piped in.

    The first one of these that fails ends psql, with exit code 3. On a terminal psql goes on.

    The owner is bound by row level security as the application is: tables of tenants show no rows. The role
    maintenance reads all of them.
    """
    from infra.commands import clients

    client = clients.psql(Settings.load(), project(), cli.one_of(clients.As, role, "--role") if role else None)
    (client if sys.stdin.isatty() else client.with_options("-v", "ON_ERROR_STOP=1")).become()


@command()
def redis_cli(_: Context) -> None:
    """Open redis-cli on the stack's Redis; commands may be piped in.

    A piped command that fails is answered with its error, the next one is run, and redis-cli ends with 0: its option
    -e is for a command among its arguments alone.
    """
    from infra.commands import clients

    clients.redis_cli(Settings.load(), project()).become()
