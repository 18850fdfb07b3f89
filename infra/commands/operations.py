"""Operations: what a server needs, and what is wrong with it."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from infra.commands import cli, tables
from infra.commands.cli import command
from infra.commands.own_stack import preparation, project
from infra.config.identity import OUR_SERVICES
from infra.config.settings import CHECKOUT, Role, Settings

if TYPE_CHECKING:
    from infra.commands.doctor.findings import Finding
    from infra.commands.rotation import Publish


@command(json="Print JSON, for programs.")
def plan(_: Context, json: bool = False) -> None:
    """Show what `up` would do now, each step with its cause; change nothing."""
    from infra.commands import report
    from infra.stack import lifecycle

    planned = lifecycle.plan(Settings.load(), project(), preparation(), cli.say)
    if json:
        steps = report.steps(planned.operations)
        print(dumps({"project": planned.project.id, "backend": planned.backend, "operations": steps}, indent=2))
    elif not planned.operations:
        print(f"nothing to do: the stack runs as declared ({planned.backend})")
    else:
        print(*planned.operations, sep="\n")


@command(database="Look at the database instead, local or elsewhere.", json="Print JSON, for programs.")
def doctor(_: Context, database: bool = False, json: bool = False) -> None:
    """Look at all that `up` needs and say what is wrong and what to do; exit 0 when `up` would succeed.

    With --database: look at the database that the URLs name, or the stack's own, as each role. It exits 0 when the
    commands and the application would work there.
    """
    from infra.commands.doctor.findings import Level, exit_code

    findings = _database_findings() if database else _stack_findings()
    if json:
        print(dumps([asdict(finding) for finding in findings], indent=2))
    else:
        colours: dict[str, str] = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
        rows = [(each.level, each.subject, each.text) for each in findings]
        tables.show(("", "about", "found"), rows, fold="found", colours=colours)
    if exit_code(findings):
        raise Exit(code=exit_code(findings))


def _stack_findings() -> "Sequence[Finding]":
    from infra.commands.doctor.examine import examine

    return examine(CHECKOUT, project(), preparation())


def _database_findings() -> "Sequence[Finding]":
    from infra.commands.doctor.database.examine import examine_database

    return examine_database(CHECKOUT, project())


@command()
def compose(_: Context) -> None:
    """Print the stack as a compose file; secrets are named, not shown."""
    from infra.declaration.compose import render_compose
    from infra.stack.lifecycle import as_chosen

    print(render_compose(as_chosen(Settings.load(), project())), end="")


@command(sql="Print it as a script for psql, and connect to nothing.", json="Print JSON, for programs.")
def bootstrap(_: Context, sql: bool = False, json: bool = False) -> None:
    """Prepare the server that DATABASE_ADMIN_URL names, or the stack's own: roles, database, rights; verify each.

    The administrator is a superuser, or one who may create roles and databases. What the server refuses to that one is
    named with what to do instead. The script holds SCRAM verifiers in the passwords' place.
    """
    from schema.admin import bootstrap
    from schema.migration.written_name import require_written_name

    cli.exclude(sql=sql, json=json)
    require_written_name(CHECKOUT)
    settings = Settings.load()
    if sql:
        print(bootstrap.script(settings), end="")
        return
    from infra.config.endpoints import administrator_url

    admin = administrator_url(settings)
    done = bootstrap.bootstrap(admin, settings)
    refused = [{"what": each.violation, "instead": each.fallback} for each in done.refused]
    if json:
        print(dumps({"host": admin.host, "port": admin.port, "made": done.made, "refused": refused}, indent=2))
        return
    print(*done.made, sep="\n", end="\n" if done.made else "")
    for each in refused:
        print(f"refused here: {each['what']}. {each['instead']}")
    print(f"{admin.host}:{admin.port}: roles, database and rights are as declared{', but for that' if refused else ''}")


@command(
    role="Whose password: owner, user or maintenance.",
    to="Write the new URL into this new file, mode 0600. Needed where the settings name the role's database.",
    retire="Let this login in no longer: the former one, once all have the new password.",
)
def rotate(_: Context, role: str, to: str = "", retire: str = "") -> None:
    """Change the password of a role while the former one still works.

    A role has two logins that take turns. The new password goes into .env, or into the file that --to names, and is
    never shown. What uses the former login goes on until `--retire` ends it.
    """
    from infra.config.endpoints import administrator_url, database_url
    from schema.admin import rotation

    cli.exclude(to=to, retire=retire)
    settings = Settings.load()
    whose = _role(role)
    current, admin = database_url(settings, whose), administrator_url(settings)
    if retire:
        rotation.retire(admin, whose, retire, current, settings)
        print(f"{retire} is let in no longer")
        return
    with _destination(whose, to, settings) as publish:
        new = rotation.rotate(admin, whose, current, settings)
        publish(new)
    print(
        f"{new.user} is the login from now on: {to or CHECKOUT / '.env'}. {current.user} works until every process has "
        f"the new password and you run `invoke rotate {role} --retire {current.user}`"
    )


def _role(text: str) -> Role:
    names = {each.name.lower(): each for each in Role}
    if text not in names:
        raise Exit(f"role {text} is unknown: it is one of {', '.join(names)}", 1)
    return names[text]


def _destination(role: Role, to: str, settings: Settings) -> "AbstractContextManager[Publish]":
    from infra.commands.rotation import new_secret_file, publish_to_env_file

    external = settings.role_url(role) is not None
    if external and not to:
        raise Exit("The settings name the role's database: say with --to in which file to write its new URL.", 1)
    if to and not external:
        raise Exit("--to is for a database that the settings name. The local stack's passwords are in .env.", 1)
    return new_secret_file(Path(to)) if to else nullcontext(publish_to_env_file(CHECKOUT / ".env", role, settings))


@command()
def ready(_: Context) -> None:
    """See that the application can serve: its role logs in to its database and is bound by row level security.

    For the health checks of containers: it looks at no stack, tries for DATABASE_CONNECT_TIMEOUT seconds and changes
    nothing.
    """
    from infra.config.endpoints import database_url
    from schema.client.connection import connect
    from schema.client.role_check import refuse_bypass

    settings = Settings.load()
    url = database_url(settings, Role.USER)
    at_once = replace(settings, database_connect_deadline=settings.database_connect_timeout)
    with connect(url, at_once, autocommit=True) as connection:
        refuse_bypass(connection, url)
    print(f"{url.user} is served at {url.host}:{url.port}, database {url.database}")


@command(
    force="Build them again, base included.",
    postgres="Of this version of PostgreSQL: 16, 17 or 18.",
    redis="Of this server as Redis: 7, 8 or valkey.",
    release="Build what a release image can be built on instead.",
)
def build_images(_: Context, force: bool = False, postgres: str = "", redis: str = "", release: bool = False) -> None:
    """Build stand-ins for the images of the versions that the settings ask for, where no registry can be reached.

    With --postgres or --redis of that one alone.
    """
    from infra.backends.docker.engine import connect, find_endpoint
    from infra.declaration.spec import wanted_images
    from infra.images.build import build, build_release_base

    cli.exclude(release=release, postgres=postgres)
    cli.exclude(release=release, redis=redis)
    if release:
        print(build_release_base(connect(find_endpoint()), progress=cli.say, force=force))
        return
    environ = {key: text for key, text in (("POSTGRES_VERSION", postgres), ("REDIS_VERSION", redis)) if text}
    settings = Settings.load(environ={**os.environ, **environ, "POSTGRES_IMAGE": "", "REDIS_IMAGE": ""})
    chosen = [s for s in OUR_SERVICES if f"{s}_VERSION".upper() in environ] or OUR_SERVICES
    wanted = wanted_images(settings)
    engine = connect(find_endpoint())
    for reference in build(engine, [wanted[service] for service in chosen], progress=cli.say, force=force):
        print(reference)
