"""The commands: each parses, calls one function and prints. `invoke --list` names them.

Invoke reads them from this one file, so it is as long as there are commands.
"""

import functools
import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from infra import cli
from infra.errors import InfraError
from infra.settings import CHECKOUT, Role, Settings, write_env_file
from infra.spec import Project, Service
from schema.errors import SchemaError

if TYPE_CHECKING:
    from infra.export import Export
    from infra.readiness import Preparation
    from infra.urls import DatabaseUrl
    from schema.applying.changing import Manner
    from schema.applying.run import Step
    from schema.autogenerate.request import Request
    from schema.autogenerate.unchanged import Proof

command = functools.partial(cli.command, (InfraError, SchemaError))


def _project() -> Project:
    from infra.adoption import project_at

    return project_at(CHECKOUT)


def _preparation() -> "Preparation":
    from infra.readiness import Preparation

    def load() -> None:
        from schema import roles  # noqa: F401 - imported ahead of its use

    def prepare(admin: "DatabaseUrl", settings: Settings) -> None:
        from schema import roles

        roles.ensure(admin, settings)

    files = ("roles.py", "rights.py", "requirements.py")
    return Preparation(prepare, tuple(CHECKOUT / "schema" / name for name in files), load)


@command(
    adopt="Take over the stack that this checkout had before it was moved.",
    new="Start a new stack, though this checkout seems to have had one before it was moved.",
)
def up(_: Context, adopt: bool = False, new: bool = False) -> None:
    """Start PostgreSQL and Redis and wait until they serve; do nothing where they do."""
    from infra import adoption, shown, stack

    if write_env_file(CHECKOUT):
        cli.say("wrote .env with generated passwords (mode 0600)")
    settings = Settings.load()
    ask = cli.asked if sys.stdin.isatty() else None
    project = adoption.settle(CHECKOUT, adopt=adopt, new=new, ask=ask, say=cli.say)
    print(*shown.lines(stack.up(settings, project, _preparation(), cli.say), settings), sep="\n")


@command(volumes="Remove the data as well; asks first.", yes="Answer that question with yes.")
def down(_: Context, volumes: bool = False, yes: bool = False) -> None:
    """Stop the servers and keep their data."""
    from infra import stack

    if volumes and not yes:
        cli.confirm(f"Remove all data of the stack {_project().id}?")
    stopped = stack.down(_project(), cli.say, volumes=volumes)
    print(
        "stopped" if stopped.operations else "nothing ran", "and all data removed" if volumes else "; the data is kept"
    )


@command(json="Print JSON, for programs.")
def status(_: Context, json: bool = False) -> None:
    """Show what runs, where and since when."""
    from infra import shown, stack

    current = stack.status(_project())
    if json:
        print(dumps(shown.described(current), indent=2))
    elif not current.servers:
        print(f"{current.project.id}: nothing runs; `invoke up` starts it")
    else:
        print(*shown.lines(current, Settings.load()), sep="\n")


@command(json="Print JSON, for programs.")
def plan(_: Context, json: bool = False) -> None:
    """Show what `up` would do now, each step with its cause; change nothing."""
    from infra import stack

    planned = stack.plan(Settings.load(), _project(), _preparation(), cli.say)
    steps = [{"verb": str(step.verb), "target": step.title, "cause": step.cause} for step in planned.operations]
    if json:
        print(dumps({"project": planned.project.id, "backend": planned.backend, "operations": steps}, indent=2))
    elif not steps:
        print(f"nothing to do: the stack runs as declared ({planned.backend})")
    else:
        print(*planned.operations, sep="\n")


@command(
    service="Only this server: postgres or redis.",
    follow="Go on with each new line until Ctrl-C.",
    lines="How many lines of the past.",
)
def logs(_: Context, service: str = "", follow: bool = False, lines: str = "100") -> None:
    """Show the last lines of the servers' logs, also of servers that are stopped."""
    from infra.logs import read

    services = [cli.one_of(Service, service, "--service")] if service else list(Service)
    line = None
    for line in read(_project(), services, cli.number(lines, "--lines"), follow=follow):
        print(line, flush=follow)
    if line is None:
        cli.say("nothing is logged; `invoke up` starts the servers")


@command(role="As whom: owner (the default), user, maintenance or admin.")
def psql(_: Context, role: str = "") -> None:
    """Open psql on the stack's database, or on the one that DATABASE_URL names; statements may be piped in.

    The owner is held by row level security as the application is: tables of tenants show no rows. The role
    maintenance reads all of them.
    """
    from infra import clients

    clients.psql(Settings.load(), _project(), cli.one_of(clients.As, role, "--role") if role else None).become()


@command()
def redis_cli(_: Context) -> None:
    """Open redis-cli on the stack's Redis; commands may be piped in."""
    from infra import clients

    clients.redis_cli(Settings.load(), _project()).become()


@command(json="Print JSON, for programs.")
def doctor(_: Context, json: bool = False) -> None:
    """Look at all that `up` needs and say what is amiss and what to do; exit 0 when `up` would succeed."""
    from infra.doctor.examine import examine
    from infra.doctor.findings import exit_code

    findings = examine(CHECKOUT, _project(), _preparation())
    if json:
        print(dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print(*findings, sep="\n")
    if exit_code(findings):
        raise Exit(code=exit_code(findings))


@command()
def compose(_: Context) -> None:
    """Print the stack as a compose file; secrets are named, not shown."""
    from infra.compose import render_compose
    from infra.spec import build_stack

    print(render_compose(build_stack(Settings.load(), _project())), end="")


@command(force="Build them anew, base included.")
def build_images(_: Context, force: bool = False) -> None:
    """Build stand-ins for the stack's images, where no registry can be reached."""
    from infra.docker_backend.engine import connect, find_endpoint
    from infra.images.build import build

    for reference in build(connect(find_endpoint()), progress=cli.say, force=force):
        print(reference)


@command(sql="Print it as a script for psql, and connect to nothing.", json="Print JSON, for programs.")
def bootstrap(_: Context, sql: bool = False, json: bool = False) -> None:
    """Prepare the server that DATABASE_ADMIN_URL names, or the stack's own: roles, database, rights; verify each.

    The administrator is a superuser, or one who may create roles and databases. What the server refuses to that one is
    named with what to do instead. The script holds SCRAM verifiers in the passwords' place.
    """
    from schema import bootstrap

    settings = Settings.load()
    if sql:
        print(bootstrap.script(settings), end="")
        return
    from infra.endpoints import administrator_url

    admin = administrator_url(settings)
    done = bootstrap.bootstrap(admin, settings)
    refused = [{"what": each.unless, "instead": each.fallback} for each in done.refused]
    if json:
        print(dumps({"host": admin.host, "port": admin.port, "made": done.made, "refused": refused}, indent=2))
        return
    print(*done.made, sep="\n", end="\n" if done.made else "")
    for each in refused:
        print(f"refused here: {each['what']}. {each['instead']}")
    print(f"{admin.host}:{admin.port}: roles, database and rights are as declared{', but for that' if refused else ''}")


@command(
    "rename",
    message="What the migration does, in a few words; becomes its file's name.",
    rename="What is only called otherwise: old:new for a table, table.column:new. May be repeated.",
    allow_drop="Let tables, columns and values of enum types go that are no longer declared.",
    check="Write nothing; exit 5 when there is something to write.",
    merge="Join branches of migrations by one that follows them all.",
    rebase="Put a branch of migrations behind the other: its first file, which nobody has applied.",
    empty="Compare nothing: write a migration for you to fill, as for data or an extension.",
)
def generate(
    _: Context,
    *,
    message: str = "",
    rename: list[str] | None = None,
    allow_drop: bool = False,
    check: bool = False,
    merge: bool = False,
    rebase: str = "",
    empty: bool = False,
) -> None:
    """Write a migration from the difference between models and migrations; needs no stack."""
    if merge or rebase:
        from schema.autogenerate import heads

        moved = heads.rebase(CHECKOUT, rebase) if rebase else (heads.merge(CHECKOUT, message),)
        print(*(path.relative_to(CHECKOUT) for path in moved), sep="\n")
        return
    from infra.state import state_directory
    from schema.autogenerate.request import Request
    from schema.autogenerate.unchanged import Proof

    ask = cli.asked if sys.stdin.isatty() else None
    request = Request(message, tuple(rename or ()), allow_drop=allow_drop, check=check, ask=ask)
    if empty:
        from schema.autogenerate import by_hand

        print(by_hand.empty(CHECKOUT, request).relative_to(CHECKOUT))
        return
    proof = Proof(CHECKOUT, state_directory(_project()) / "generated.json", title=message)
    path = None if request.plain and proof.holds() else _generated(request, proof)
    print(path.relative_to(CHECKOUT) if path else "nothing changed: the migrations make what the models declare")
    if path:
        from schema.migrate import findings

        for finding in findings(path):
            cli.say(str(finding))


def _generated(request: "Request", proof: "Proof") -> Path | None:
    with proof.watch:
        from schema import migrate

        settings = Settings.load()
    owner, ephemeral = _owner_if_up(settings), _ephemeral(settings)
    path = migrate.generate(owner, settings, request, ephemeral=ephemeral, watch=proof.watch)
    if path is None and request.plain:
        proof.remember()
    return path


def _owner_if_up(settings: Settings) -> "DatabaseUrl | None":
    """Return the owner's URL where the settings name a database or the stack runs."""
    from infra.endpoints import database_url
    from infra.errors import StackError

    try:
        return database_url(settings, Role.OWNER)
    except StackError:
        if settings.database_url is not None:
            raise
        return None


def _ephemeral(settings: Settings) -> "Callable[[], AbstractContextManager[DatabaseUrl]]":
    def start() -> "AbstractContextManager[DatabaseUrl]":
        from infra.ephemeral import ephemeral_postgres

        return ephemeral_postgres(settings, _preparation(), cli.say)

    return start


@command(
    plan="List what would run, and what it drops; change nothing.",
    sql="Print what would run as a script; change nothing.",
    i_mean="The database's name, for steps that lose data anywhere but on this checkout's own stack.",
    accept="A revision whose edited file is taken as it is now.",
)
def migrate(_: Context, plan: bool = False, sql: bool = False, i_mean: str = "", accept: str = "") -> None:
    """Apply the migrations that are pending, each in a transaction of its own."""
    from infra.endpoints import database_url

    settings = Settings.load()
    owner = database_url(settings, Role.OWNER)
    cli.say(f"{owner.user} at {owner.host}:{owner.port}, database {owner.database}")
    with cli.stoppable():
        if not (plan or sql or i_mean or accept) and (head := _unchanged(owner, settings)):
            print(f"nothing to do: at {head}")
            return
        from schema.applying import upgrade

        if sql:
            print(upgrade.script(owner, settings), end="")
        elif plan:
            steps = upgrade.plan(owner, settings)
            if not steps:
                print("nothing to do")
            for step in steps:
                told = ", ".join(step.losses) if step.sql is not None else "what it drops is known when it runs"
                print(f"{step.file}{f'  ({told})' if told else ''}")
        else:
            done = upgrade.upgrade(owner, settings, manner=_manner(settings, "applied", i_mean), accept=accept)
            print(f"at {done.head}" if done.applied else f"nothing to do: at {done.head}")


@command(
    steps="How many migrations; the newest one by default.",
    allow_data_loss="Go on where a table with rows or a column with values would be dropped.",
    i_mean="The database's name, for steps that lose data anywhere but on this checkout's own stack.",
)
def rollback(_: Context, steps: str = "1", allow_data_loss: bool = False, i_mean: str = "") -> None:
    """Take back the last migrations; refuse where that would lose data."""
    from infra.endpoints import database_url

    settings = Settings.load()
    owner = database_url(settings, Role.OWNER)
    cli.say(f"{owner.user} at {owner.host}:{owner.port}, database {owner.database}")
    with cli.stoppable():
        from schema.applying.rollback import rollback

        count, manner = cli.number(steps, "--steps"), _manner(settings, "took back", i_mean)
        rollback(owner, settings, count, manner=manner, allow_data_loss=allow_data_loss)


@command(json="Print JSON, for programs.", show="Print this revision's file as it was applied, and nothing else.")
def history(_: Context, json: bool = False, show: str = "") -> None:
    """Show which migrations are applied, pending or edited: when, by whom, how long they took."""
    from infra.endpoints import database_url
    from schema.applying import history

    settings = Settings.load()
    owner = database_url(settings, Role.OWNER)
    if show:
        sys.stdout.write(history.content(owner, settings, show))
        return
    lines = history.history(owner, settings)
    if json:
        print(dumps([history.described(line) for line in lines], indent=2, default=str))
    else:
        print(*history.shown(lines), sep="\n")


@command(
    name="What the tenant is called.",
    slug="Its short name, unique: lower-case letters, digits, hyphens. Made of the name unless given.",
    external_id="Its id at the identity provider.",
    json="Print JSON, for programs.",
)
def tenants_create(_: Context, name: str, slug: str = "", external_id: str = "", json: bool = False) -> None:
    """Sign a tenant up."""
    from infra.endpoints import database_url
    from schema import lifecycle
    from schema.engine import create_engine

    settings = Settings.load()
    engine = create_engine(database_url(settings, Role.USER), settings)
    made = lifecycle.create(engine, name, slug=slug, external_id=external_id or None)
    print(dumps({"tenant_id": str(made)}) if json else made)


@command(json="Print JSON, for programs.")
def tenants_list(_: Context, json: bool = False) -> None:
    """List every tenant, the oldest first."""
    from infra.endpoints import database_url
    from schema import lifecycle

    settings = Settings.load()
    found = lifecycle.tenants(database_url(settings, Role.MAINTENANCE), settings)
    if json:
        print(dumps([asdict(tenant) for tenant in found], indent=2, default=str))
        return
    width = max((len(tenant.slug) for tenant in found), default=0)
    for tenant in found:
        print(f"{tenant.tenant_id}  {tenant.slug:{width}}  {tenant.created_at:%Y-%m-%d}  {tenant.name}")
    if not found:
        cli.say("there are no tenants; `invoke tenants-create NAME` makes one")


@command(
    tenant="Its slug, id or external id.",
    yes="Do not ask.",
    export="The file that its rows are written to first; by default its slug and the time, in this folder.",
    no_export="Write nothing; its rows are gone for good.",
)
def tenants_delete(_: Context, tenant: str, yes: bool = False, export: str = "", no_export: bool = False) -> None:
    """Delete a tenant and all of its rows; write them to a file first, and ask."""
    from infra.dump import dump_tenant
    from infra.endpoints import database_url
    from schema import lifecycle

    settings = Settings.load()
    owner, maintenance = database_url(settings, Role.OWNER), database_url(settings, Role.MAINTENANCE)
    found = lifecycle.named(lifecycle.tenants(maintenance, settings), tenant)
    if not yes:
        held = lifecycle.rows_of(owner, settings, found.tenant_id)
        rows = ", ".join(f"{count} in {table}" for table, count in held.items())
        cli.confirm(f"Delete tenant {found.name!r} ({found.slug}, {found.tenant_id}) at {owner} with its rows: {rows}?")
    file = Path(export or f"{found.slug}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.sql")

    def write(rows: "Export") -> None:
        dump_tenant(owner, found.tenant_id, rows, file)
        print(f"wrote {file}")

    gone = lifecycle.delete(owner, settings, found.tenant_id, None if no_export else write)
    print(f"deleted tenant {found.slug}: {sum(gone.values())} rows in {sum(1 for n in gone.values() if n)} tables")


@command(json="Print JSON, for programs.")
def check(_: Context, json: bool = False) -> None:
    """Prove that no tenant can see another: by the database's catalogue, and by attacks on a clone; else exit 6."""
    from infra.endpoints import database_url
    from schema.isolation.check import check

    settings = Settings.load()
    external = settings.database_owner_url is not None and settings.database_url is None
    user = None if external else database_url(settings, Role.USER)
    report = check(database_url(settings, Role.OWNER), user, settings, cli.later())
    print(dumps(asdict(report), indent=2) if json else report)
    report.require()


@command()
def lint(context: Context) -> None:
    """Run every static check: format, lint, types, layers."""
    # The tools of this very environment, whether or not it is activated.
    tools = shlex.quote(str(Path(sys.executable).parent))
    for check in ("ruff format --check .", "ruff check .", "mypy", "lint-imports"):
        cli.say(f"$ {check}")
        context.run(f"{tools}/{check}")


@command(options="Options for pytest, as one string.")
def test(context: Context, options: str = "") -> None:
    """Run the tests on the stack that they bring up for themselves."""
    context.run(f"{sys.executable} -m pytest {options}".rstrip(), pty=sys.stdout.isatty())


@command(only="Only defences whose name holds this text.")
def mutate(context: Context, only: str = "") -> None:
    """Remove each defence of isolation in a copy of the project, and see a test turn red."""
    context.run(f"{sys.executable} -m tests.mutations --only {shlex.quote(only)}")


@command(output="The file for the figures.", rounds="How often each case is timed.")
def bench(context: Context, output: str = "bench.json", rounds: str = "7") -> None:
    """Time the commands against their peers, interleaved; write medians and spread as JSON."""
    count = cli.number(rounds, "--rounds")
    context.run(f"{sys.executable} -m tests.benchmarks --rounds {count} --output {shlex.quote(output)}")


def _unchanged(owner: "DatabaseUrl", settings: Settings) -> str | None:
    from schema.applying.unchanged import head_if_unchanged

    return head_if_unchanged(owner, settings, CHECKOUT)


def _manner(settings: Settings, verb: str, i_mean: str) -> "Manner":
    """Return how migrations are run from here: told as they go, guarded by this checkout's stack."""
    from infra.endpoints import administrator_url
    from schema.applying.changing import Manner
    from schema.applying.guard import Guard

    def finished(step: "Step") -> None:
        print(f"{verb} {step.revision} {step.title} ({step.milliseconds:.0f} ms)", flush=True)

    try:
        observers = [administrator_url(settings)]
    except InfraError:  # nobody may see more than the owner
        observers = []
    return Manner(guard=Guard(_project().id, i_mean), observers=tuple(observers), finished=finished, say=cli.say)
