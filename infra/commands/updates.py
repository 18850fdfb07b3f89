"""Ground: a checkout made a product's own, and updates of what it stands on."""

import sys
from dataclasses import asdict
from json import dumps
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from infra.commands import cli
from infra.commands.cli import command
from infra.config.settings import CHECKOUT

if TYPE_CHECKING:
    from infra.commands.ground.update import Proposal, Target

_STATES = {"A": "added", "D": "removed", "M": "changed", "T": "changed"}


@command(
    name="What the product is called: lower-case letters, digits and hyphens.",
    base="The ground's commit that this checkout began from, where yours follow it.",
    database_name="What the database is called, and what its roles' names begin with; app by default. It stays.",
    fresh_history="Begin a new history: one commit without a parent.",
)
def init(_: Context, name: str, base: str = "", database_name: str = "app", fresh_history: bool = False) -> None:
    """Make this checkout a product's own, in one commit: its name, its README, and what updates begin from."""
    from infra.commands.ground.begin import begin

    record = begin(CHECKOUT, name, base, database_name, fresh_history=fresh_history)
    print(f"This is {name} now, on groundwork {record.ground}.")
    print(
        "Install it again under its name: `python -m pip uninstall groundwork`, then the README's line. "
        "`git reset --keep ORIG_HEAD` takes this back."
    )


@command(
    "skip",
    tag="The release, as v1.2.3; the newest one by default. `invoke update v1.2.3` is the same.",
    remote="Where releases come from: an address or one of git's remotes; recorded with the update.",
    skip="A step to leave out: generate, lint, check or tests. May be repeated.",
    plan="Merge only and show what would change; run no step, change nothing.",
    resolve="Merge into this checkout, commit nothing, and leave the conflicts there for you.",
    yes="Take the update where all steps pass, without asking.",
    json="Print JSON, for programs.",
)
def update(
    _: Context,
    *,
    tag: str = "",
    remote: str = "",
    skip: list[str] | None = None,
    plan: bool = False,
    resolve: bool = False,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Bring the ground's next release: merge and try it beside the checkout, show the result, and take it if you agree.

    The product's own files are left as they are; what changes in the database becomes a migration. The checkout gets
    one commit, or stays as it is.
    """
    from infra.commands.ground import update as updating
    from infra.commands.ground.steps import Step

    cli.exclude(plan=plan, resolve=resolve, yes=yes)
    cli.exclude(resolve=resolve, json=json)
    skipped = {cli.one_of(Step, step, "--skip") for step in skip or ()}
    _tell_who_cannot_answer(asked=not (plan or resolve or yes or json))
    target = updating.find(CHECKOUT, tag, remote, cli.say)
    if target is None:
        nothing = "nothing to do: the release is part of what this product has"
        print(dumps({"applied": False, "up_to_date": True}, indent=2) if json else nothing)
        return
    if resolve:
        _resolve(target)
        return
    with updating.proposed(target, [] if plan else [step for step in Step if step not in skipped], cli.say) as proposal:
        wanted = bool(proposal.commit) and not plan
        if not json:
            _show(proposal)
        if wanted and not yes and not json:
            cli.confirm("Take this update into the checkout?")
        applied = wanted and (yes or not json)
        if applied:
            updating.take(proposal)
        if json:
            print(dumps(_described(proposal) | {"applied": applied, "up_to_date": False}, indent=2))
        elif applied:
            print(f"updated to groundwork {target.after.ground}; `git reset --keep ORIG_HEAD` takes it back")
            if proposal.migrations:
                print("Apply the migration with `invoke migrate`.")
    if not proposal.commit:
        raise Exit(_how_to_go_on(proposal), 1)


@command(version="The version: three numbers, as 1.2.3.")
def release(context: Context, version: str) -> None:
    """Release the ground: check the code, commit the version, and tag it with what the CHANGELOG says of it.

    Nothing is pushed. A product has no use for it: its releases are its own affair.
    """
    from infra.commands.ground.release import release as released
    from infra.commands.quality import lint

    tag = released(CHECKOUT, version, lambda: lint(context))
    print(f"{tag} is made. When the tests of this commit are green, publish it: `git push origin HEAD {tag}`.")
    print(f"`git tag --delete {tag}` and `git reset --keep ORIG_HEAD` take it back.")


def _tell_who_cannot_answer(*, asked: bool) -> None:
    if asked and not sys.stdin.isatty():
        cli.say("nobody can answer here: the update is tried and shown, and not taken; --yes takes it")


def _resolve(target: "Target") -> None:
    from infra.commands.ground.update import resolve

    conflicts = resolve(target)
    print(*(f"conflict  {each.path}: {each.how}" for each in conflicts), sep="\n", end="\n" if conflicts else "")
    print(
        "Merged and not committed. Resolve each conflict and `git add` its file (first those below infra/, which the "
        'commands are made of), run `invoke generate -m "update the ground"`, `invoke lint`, `invoke up migrate check` '
        "and `pytest`, then `git commit`. `git reset --merge` gives it all up."
    )


def _show(proposal: "Proposal") -> None:
    """Print what an update brings and how it was tried."""
    target = proposal.target
    print(f"groundwork {target.before.ground} to {target.after.ground}, {len(proposal.changes)} files:")
    print(*(f"  {_STATES[each.state]:7}  {each.path}" for each in proposal.changes), sep="\n")
    for path in proposal.left_removed:
        print(f"  stays removed, though the ground changed it: {path}")
    for path in proposal.migrations:
        print(f"  migration written: {path}")
    for result in proposal.results:
        print(f"  {result.step} {'passed' if result.passed else 'failed'}")
        if not result.passed:
            print(*(f"    {cli.printable(line)}" for line in result.output.split("\n")), sep="\n")
    if proposal.reinstall:
        print(f"  The dependencies change. Afterwards run again: {proposal.reinstall}")
    if proposal.todo:
        print(f"\nWhat to do, from the CHANGELOG:\n\n{proposal.todo}\n")


def _described(proposal: "Proposal") -> dict[str, object]:
    """Return an update for JSON."""
    target = proposal.target
    return {
        "from": target.before._asdict(),
        "to": target.after._asdict(),
        "changes": [asdict(each) for each in proposal.changes],
        "conflicts": [asdict(each) for each in proposal.conflicts],
        "left_removed": proposal.left_removed,
        "migrations": proposal.migrations,
        "steps": [asdict(each) for each in proposal.results],
        "install_again": proposal.reinstall,
        "todo": proposal.todo,
    }


def _how_to_go_on(proposal: "Proposal") -> str:
    """Return what keeps an update from being taken, and what to do about it."""
    again = f"`invoke update {proposal.target.words}"
    if proposal.conflicts:
        named = "\n".join(f"conflict  {each.path}: {each.how}" for each in proposal.conflicts)
        return (
            f"{named}\nNothing was changed. {again} --resolve` merges into this checkout and leaves these files "
            "for you to decide, with both sides marked in them."
        )
    failed = [result.step for result in proposal.results if not result.passed]
    return (
        f"{', '.join(failed)} failed, so nothing was changed. Correct the product first, or take the update as it is "
        f"and correct it then: {again} {' '.join(f'--skip {step}' for step in failed)}`."
    )
