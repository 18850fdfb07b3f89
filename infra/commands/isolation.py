"""Isolation: that no tenant sees another."""

import sys
from json import dumps
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit

from infra.commands import cli
from infra.commands.cli import command
from infra.config.settings import Role, Settings


@command(
    format="How the report is printed: text (the default), json, sarif or markdown.",
    json="The same as --format json.",
)
def check(_: Context, format: str = "", json: bool = False) -> None:  # noqa: A002 - the option is called so
    """Prove that no tenant can see another: by the database's catalogue, and by attacks on a clone; else exit 6.

    Where they cannot, and a migration may block or break what uses a database while it runs, the exit code is 5. What
    was not looked at is named; where a stage failed and nothing was found, the exit code is that of the failure.
    """
    from infra.config.endpoints import database_url
    from schema.isolation.check import check
    from schema.isolation.formats import Format, render

    form = cli.one_of(Format, format or ("json" if json else "text"), "--format")
    if json and form is not Format.JSON:
        raise Exit(f"--json and --format {form} contradict each other", 1)
    settings = Settings.load()
    external = settings.database_owner_url is not None and settings.database_url is None
    user = None if external else database_url(settings, Role.USER)
    report = check(database_url(settings, Role.OWNER), user, settings, cli.later())
    print(*map(cli.printable, render(report, form, grouped=sys.stdout.isatty()).split("\n")), sep="\n")
    report.require()


@command(
    json="Print JSON, for programs and for --against.",
    against="A file of that JSON, made earlier: print what has been opened or closed since; exit 5 when something has.",
)
def access(_: Context, json: bool = False, against: str = "") -> None:
    """Show which role may do what with which object, by which grant and policies; from the catalogue alone."""
    from infra.config.endpoints import database_url
    from schema.isolation.access.changes import changes
    from schema.isolation.access.command import matrix_of, read_file
    from schema.isolation.access.written import describe, describe_change, lines_of, table

    settings = Settings.load()
    external = settings.database_owner_url is None and settings.database_url is not None
    before = read_file(Path(against)) if against else None
    matrix = matrix_of(database_url(settings, Role.USER if external else Role.OWNER), settings)
    if before is None:
        shown = dumps(describe(matrix), indent=2) if json else table(matrix)
        print(*map(cli.printable, shown.split("\n")), sep="\n")
        return
    found = changes(before, matrix)
    if json:
        print(dumps([describe_change(change) for change in found], indent=2))
    else:
        lines = lines_of(found) or ["nothing is opened or closed"]
        print(*map(cli.printable, lines), sep="\n")
    if any(change.opens for change in found):
        raise Exit(code=5)
