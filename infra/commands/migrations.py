"""Migrations: from the models to the database."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from infra.commands import cli, tables
from infra.commands.cli import command
from infra.commands.own_stack import preparation, project
from infra.config.errors import InfraError
from infra.config.settings import CHECKOUT, Role, Settings

if TYPE_CHECKING:
    from infra.config.urls import DatabaseUrl
    from schema.migration.apply.run import Step
    from schema.migration.apply.session import RunOptions
    from schema.migration.apply.upgrade import Prospect
    from schema.migration.branches import Applied
    from schema.migration.generate.cache import ComparisonCache
    from schema.migration.generate.request import Request
    from schema.migration.lint.check import Kind


@command(
    "rename",
    message="What the migration does, in a few words; becomes its file's name.",
    rename="What is only called otherwise: old:new for a table, table.column:new. May be repeated.",
    allow_drop="Drop tables, columns and values of enum types that are no longer declared.",
    check="Write nothing; exit 5 when there is something to write.",
    merge="Join branches of migrations by one that follows them all.",
    rebase="Put a branch of migrations after the other: a file of it, or all of them, separated by commas.",
    empty="Compare nothing: write a migration for you to fill, as for data or an extension.",
    json="Print JSON, for programs: the files, and what is not safe in them.",
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
    json: bool = False,
) -> None:
    """Write a migration from the difference between models and migrations; needs no stack."""
    cli.exclude(merge=merge, rebase=rebase, empty=empty, check=check)
    if merge or rebase:
        _tell_files(_join(message, rebase), json=json)
        return
    from infra.config.record import comparison_note
    from schema.migration.generate.cache import ComparisonCache
    from schema.migration.generate.request import Request

    ask = cli.ask if sys.stdin.isatty() else None
    request = Request(message, tuple(rename or ()), allow_drop=allow_drop, check=check, ask=ask, say=cli.say)
    if empty:
        from schema.migration.generate import blank

        _tell_files((blank.write_blank_revision(CHECKOUT, request, _applied),), json=json)
        return
    cache = ComparisonCache(CHECKOUT, comparison_note(project()))
    path = None if request.plain and cache.is_fresh() else _generated(request, cache)
    if path:
        from schema.migration.generate.command import findings
        from schema.migration.lint.check import by_kind

        _tell_files((path,), by_kind(findings(path)), json=json)
    else:
        _tell_files((), json=json)


def _tell_files(paths: Sequence[Path], unsafe: "Sequence[Kind]" = (), *, json: bool) -> None:
    """Print the files that were written; what is not safe in them is part of the JSON, and progress for people."""
    files = [str(path.relative_to(CHECKOUT)) for path in paths]
    if json:
        print(dumps({"files": files, "findings": [asdict(kind) for kind in unsafe]}, indent=2))
        return
    print(*files or ["nothing changed: the migrations make what the models declare"], sep="\n")
    for kind in unsafe:
        cli.say(str(kind))


def _join(message: str, rebase: str) -> tuple[Path, ...]:
    """Put one branch of migrations after the other, or join them all by a migration; return the files."""
    from schema.migration.generate import branches

    applied = _applied()
    if applied is None:
        cli.say("no database could be asked what it has applied: put no migration after one that it has")
    return branches.rebase(CHECKOUT, rebase, applied) if rebase else branches.merge(CHECKOUT, message, applied)


def _generated(request: "Request", cache: "ComparisonCache") -> Path | None:
    from schema.migration.generate.command import generate as write_migration

    settings = Settings.load()
    owner, ephemeral = _owner_if_up(settings), _ephemeral(settings)
    path = write_migration(owner, settings, request, ephemeral=ephemeral)
    if path is None and request.plain:
        cache.store()
    return path


def _owner_if_up(settings: Settings) -> "DatabaseUrl | None":
    """Return the owner's URL where the settings name a database or the stack runs."""
    from infra.config.endpoints import database_url
    from infra.config.errors import StackError

    try:
        return database_url(settings, Role.OWNER)
    except StackError:
        if settings.database_url is not None:
            raise
        return None


def _applied() -> "Applied | None":
    """Return what the database that the settings name or the stack runs has applied, where one answers."""
    from schema.migration.apply.applied import ask

    settings = Settings.load()
    try:
        owner = _owner_if_up(settings)
    except InfraError:  # there is one, and this checkout does not know its owner
        return None
    return ask(owner, settings)


def _ephemeral(settings: Settings) -> "Callable[[], AbstractContextManager[DatabaseUrl]]":
    def start() -> "AbstractContextManager[DatabaseUrl]":
        from infra.stack.ephemeral import ephemeral_postgres

        return ephemeral_postgres(settings, preparation(), cli.say)

    return start


@command(
    plan="List what would run, and what it drops; change nothing.",
    sql="Print what would run as a script; change nothing.",
    confirm_database="The database's name, for steps that lose data anywhere but on this checkout's own stack.",
    accept="A revision whose edited file is taken as it is now.",
    allow_data_loss="Go on where a column's new type does not hold the values of its rows.",
    json="Print JSON, for programs: what was applied, or with --plan what is pending.",
)
def migrate(
    _: Context,
    *,
    plan: bool = False,
    sql: bool = False,
    confirm_database: str = "",
    accept: str = "",
    allow_data_loss: bool = False,
    json: bool = False,
) -> None:
    """Apply the migrations that are pending, each in a transaction of its own."""
    cli.exclude(plan=plan, sql=sql)
    cli.exclude(sql=sql, json=json)
    settings = Settings.load()
    owner = _announce_owner(settings)
    with cli.stoppable():
        if not (plan or sql or confirm_database or accept) and (head := _unchanged(owner, settings)):
            _tell_applied((), head, json=json)
            return
        from schema.migration.apply import upgrade

        if sql:
            print(upgrade.script(owner, settings), end="")
        elif plan:
            _tell_pending(upgrade.plan(owner, settings), json=json)
        else:
            run_options = _run_options(settings, "applied", confirm_database, cli.say if json else cli.answer)
            done = upgrade.upgrade(
                owner, settings, run_options=run_options, accept=accept, allow_data_loss=allow_data_loss
            )
            _tell_applied(done.applied, done.head, json=json)


def _tell_pending(pending: "Sequence[Prospect]", *, json: bool) -> None:
    if json:
        print(dumps({"pending": [asdict(each) for each in pending]}, indent=2))
        return
    for each in pending:
        losses = ", ".join(each.losses)
        print(f"{each.file}{f'  ({losses})' if losses else ''}")
    if not pending:
        print("nothing to do")


def _tell_applied(steps: "Sequence[Step]", head: str | None, *, json: bool) -> None:
    if json:
        print(dumps({"head": head, "applied": [asdict(step) for step in steps]}, indent=2))
    else:
        print(f"at {head}" if steps else f"nothing to do: at {head}")


@command(
    steps="How many migrations; the newest one by default.",
    allow_data_loss="Go on where rows or values would be dropped, or not kept by a column's former type.",
    confirm_database="The database's name, for steps that lose data anywhere but on this checkout's own stack.",
    as_applied="Run the files that the ledger has kept, not this checkout's, as after another branch.",
    json="Print JSON, for programs: what was taken back.",
)
def rollback(
    _: Context,
    *,
    steps: str = "1",
    allow_data_loss: bool = False,
    confirm_database: str = "",
    as_applied: bool = False,
    json: bool = False,
) -> None:
    """Take back the last migrations; refuse where that would lose data."""
    settings = Settings.load()
    owner = _announce_owner(settings)
    with cli.stoppable():
        from schema.migration.apply.as_applied import checkout_as_applied
        from schema.migration.apply.rollback import rollback

        count, run_options = (
            cli.number(steps, "--steps"),
            _run_options(settings, "took back", confirm_database, cli.say if json else cli.answer),
        )
        with checkout_as_applied(owner, settings) if as_applied else nullcontext(CHECKOUT) as checkout:
            done = rollback(
                owner, settings, count, checkout=checkout, run_options=run_options, allow_data_loss=allow_data_loss
            )
        if json:
            print(dumps({"taken_back": [asdict(step) for step in done]}, indent=2))


def _announce_owner(settings: Settings) -> "DatabaseUrl":
    """Return the owner's URL, and say first of all which server the command works on."""
    from infra.config.endpoints import database_url

    owner = database_url(settings, Role.OWNER)
    cli.say(f"{owner.user} at {owner.host}:{owner.port}, database {owner.database}")
    return owner


@command(json="Print JSON, for programs.", show="Print this revision's file as it was applied, and nothing else.")
def history(_: Context, json: bool = False, show: str = "") -> None:
    """Show which migrations are applied, pending or edited: when, by whom, how long they took."""
    from infra.config.endpoints import database_url
    from schema.migration.apply import history
    from schema.migration.apply.status import State

    cli.exclude(show=show, json=json)
    settings = Settings.load()
    owner = database_url(settings, Role.OWNER)
    if show:
        sys.stdout.write(history.content(owner, settings, show))
        return
    lines = history.history(owner, settings)
    if json:
        print(dumps([history.describe(line) for line in lines], indent=2, default=str))
    else:
        colours: dict[str, str] = {
            State.APPLIED: "green",
            State.PENDING: "yellow",
            State.UNRECORDED: "yellow",
            State.EDITED: "red",
            State.UNKNOWN: "red",
        }
        tables.show(history.HEADER, [history.row(line) for line in lines], fold="migration", colours=colours)


def _unchanged(owner: "DatabaseUrl", settings: Settings) -> str | None:
    from schema.migration.apply.nothing_to_do import head_if_unchanged

    return head_if_unchanged(owner, settings, CHECKOUT)


def _run_options(settings: Settings, verb: str, confirm_database: str, tell: Callable[[str], None]) -> "RunOptions":
    """Return how migrations are run from here: each reported with `tell`, guarded by this checkout's stack."""
    from infra.config.endpoints import administrator_url
    from schema.migration.apply.guard import Guard
    from schema.migration.apply.session import RunOptions

    def finished(step: "Step") -> None:
        tell(f"{verb} {step.revision} {step.title} ({step.milliseconds:.0f} ms)")

    try:
        observers = [administrator_url(settings)]
    except InfraError:  # nobody may see more than the owner
        observers = []
    return RunOptions(
        guard=Guard(project().id, confirm_database), observers=tuple(observers), finished=finished, say=cli.say
    )
