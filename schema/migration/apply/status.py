"""Where a database stands: its version table and its ledger held against the files of a checkout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alembic.script import Script

from schema.errors import MigrationError, list_message
from schema.migration.apply.ledger import Entry
from schema.migration.apply.recording import file_of
from schema.migration.file_order import slug_of
from schema.migration.files import Migrations, title_of


class State(StrEnum):
    """What is the case with a migration."""

    APPLIED = "applied"
    EDITED = "edited"
    """Applied, and its file is another now."""
    UNRECORDED = "unrecorded"
    """Applied, and not in the ledger: stamped, or applied before there was one."""
    UNKNOWN = "unknown"
    """Applied, and no file of this checkout makes it."""
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """A migration: what is known of its file, and of what was applied."""

    revision: str
    file: str
    title: str
    state: State
    entry: Entry | None


def migration_status(migrations: Migrations, at: Sequence[str], entries: Mapping[str, Entry]) -> list[MigrationStatus]:
    """Return every migration that the checkout holds or the database has, in the order of application."""
    held = {script.revision for script in migrations.in_order}
    foreign = _behind([revision for revision in at if revision not in held], entries, held)
    followed = [revision for entry in foreign.values() if entry for revision in entry.follows]
    done = migrations.up_to(held.intersection([*at, *followed]))
    known = [_status(script, entries.get(script.revision), applied=script in done) for script in migrations.in_order]
    unknown = [
        MigrationStatus(revision, entry.file if entry else "", "", State.UNKNOWN, entry)
        for revision, entry in foreign.items()
    ]
    pending = [line for line in known if line.state is State.PENDING]
    return [line for line in known if line not in pending] + unknown + pending


def require_known(migrations: Migrations, lines: Sequence[MigrationStatus], where: str) -> None:
    """Raise where the database holds what this checkout does not, or other than it does; say which, and the way out.

    `where` names the database.

    Raises:
        MigrationError: an applied file was edited, or an applied revision has no file or another one.
    """
    if others := [line for line in lines if _is_other(line)]:
        raise MigrationError(
            _on_other(migrations, lines, others, where), files=_files(others), revision=others[0].revision
        )
    if unknown := [line for line in lines if line.state is State.UNKNOWN]:
        raise MigrationError(
            _on_unknown(migrations, lines, unknown, where), files=_files(unknown), revision=unknown[0].revision
        )
    for line in lines:
        if line.state is State.EDITED and line.entry is not None:
            raise MigrationError(
                _on_edited(migrations, line, line.entry, where), files=_files([line]), revision=line.revision
            )


def _files(lines: Sequence[MigrationStatus]) -> tuple[str, ...]:
    return tuple(line.file for line in lines if line.file)


def _status(script: Script, entry: Entry | None, *, applied: bool) -> MigrationStatus:
    file = file_of(script)
    if not applied:
        state = State.PENDING
    elif entry is None:
        state = State.UNRECORDED
    else:
        state = State.APPLIED if entry.sha256 == file.sha256 else State.EDITED
    return MigrationStatus(script.revision, file.name, title_of(script), state, entry if applied else None)


def _is_other(line: MigrationStatus) -> bool:
    """Return whether the revision was applied from another migration than the checkout has under it."""
    return line.state is State.EDITED and line.entry is not None and slug_of(line.entry.file) != slug_of(line.file)


def _behind(revisions: Sequence[str], entries: Mapping[str, Entry], held: set[str]) -> dict[str, Entry | None]:
    """Return the revisions and all that precede them, back to what the checkout holds, the oldest first."""
    found: dict[str, Entry | None] = {}
    left = list(revisions)
    while left:
        revision = left.pop()
        if revision not in held and revision not in found:
            found[revision] = entry = entries.get(revision)
            left += entry.follows if entry else []
    return dict(reversed(found.items()))


def _on_unknown(
    migrations: Migrations, lines: Sequence[MigrationStatus], unknown: Sequence[MigrationStatus], where: str
) -> str:
    here = [line for line in lines if line.state not in {State.UNKNOWN, State.PENDING}]
    branches = [line for line in lines if line.state is State.PENDING]
    last = here[-1].file if here else "nothing"
    if any(line.entry is None for line in unknown):
        how = "The ledger does not know it, so its file can only come from the branch that has it"
    elif branches:
        how = f"It parts from this checkout after {last}, which goes on with {branches[0].file}"
    else:
        how = f"It is ahead of this checkout, which ends with {last}"
    known = all(line.entry for line in unknown)
    back = f", write it back, or take it back as it was applied: {_taking_back(lines, unknown[0])}" if known else ""
    return list_message(
        f"In {where} there is what {migrations.folder} does not hold",
        [
            _describe(line) + (f"; {_writing_back(migrations, line)} writes it back" if line.entry else "")
            for line in unknown
        ],
        f"{how}. Check out the branch that has it{back}. Nothing was changed.",
    )


def _on_other(
    migrations: Migrations, lines: Sequence[MigrationStatus], others: Sequence[MigrationStatus], where: str
) -> str:
    """Explain what a branch that was applied here leaves when it is renumbered, or when another is checked out."""
    here = {slug_of(file_of(script).name): file_of(script).name for script in migrations.in_order}
    moved = {line.revision: here.get(slug_of(line.entry.file)) for line in others if line.entry}
    first = others[0]
    facts = [
        f"{_describe(line)}, and in this checkout it is {line.file}"
        + (f", while the other is {there}" if (there := moved.get(line.revision)) else "")
        for line in others
    ]
    elsewhere = (
        f" Or check out the branch that has it. If {first.file} is the same migration under another name, "
        f"`invoke migrate --accept {first.revision}` takes it as it is."
    )
    then = (
        f"Take back what the database has of that branch, as it was applied: {_taking_back(lines, first)}, then "
        f"`invoke migrate`.{'' if any(moved.values()) else elsewhere} Nothing was changed."
    )
    return list_message(f"In {where} there is another migration under a number of this checkout", facts, then)


def _writing_back(migrations: Migrations, line: MigrationStatus) -> str:
    """Return the command that writes a file back as it was applied."""
    return f"`invoke history --show {line.revision} > {migrations.path_of(line.file)}`"


def _taking_back(lines: Sequence[MigrationStatus], first: MigrationStatus) -> str:
    """Return the command that takes back what was applied from a migration on."""
    done = [line for line in lines if line.state is not State.PENDING]
    count = len(done) - done.index(first)
    return f"`invoke rollback --as-applied --steps {count}`"


def _on_edited(migrations: Migrations, line: MigrationStatus, entry: Entry, where: str) -> str:
    back = migrations.path_of(entry.file)
    return (
        f"{line.file} is not what was applied to {where} as revision {line.revision} on "
        f"{entry.applied_at:%Y-%m-%d %H:%M} by {entry.applied_by}: its text is another now. A change belongs into a "
        f"new migration; `invoke history --show {line.revision} > {back}` writes back what was applied. If the change "
        f"makes no difference, `invoke migrate --accept {line.revision}` takes the file as it is. Nothing was changed."
    )


def _describe(line: MigrationStatus) -> str:
    if line.entry is None:
        return f"revision {line.revision!r}"
    when = f"{line.entry.applied_at:%Y-%m-%d %H:%M}"
    return f"revision {line.revision!r} ({line.entry.file}, applied on {when} by {line.entry.applied_by})"
