"""Where a database stands: its version table and its ledger held against the files of a checkout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alembic.script import Script

from schema.applying.ledger import Entry
from schema.applying.recording import file_of
from schema.errors import MigrationError
from schema.revisions import Migrations, title_of


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
class Line:
    """A migration: what is known of its file, and of what was applied."""

    revision: str
    file: str
    title: str
    state: State
    entry: Entry | None


def standing(migrations: Migrations, at: Sequence[str], entries: Mapping[str, Entry]) -> list[Line]:
    """Return every migration that the checkout holds or the database has, in the order of application."""
    held = {script.revision for script in migrations.in_order}
    foreign = _behind([revision for revision in at if revision not in held], entries, held)
    followed = [revision for entry in foreign.values() if entry for revision in entry.follows]
    done = migrations.up_to(held.intersection([*at, *followed]))
    known = [_line(script, entries.get(script.revision), applied=script in done) for script in migrations.in_order]
    unknown = [
        Line(revision, entry.file if entry else "", "", State.UNKNOWN, entry) for revision, entry in foreign.items()
    ]
    pending = [line for line in known if line.state is State.PENDING]
    return [line for line in known if line not in pending] + unknown + pending


def require_known(migrations: Migrations, lines: Sequence[Line], where: str) -> None:
    """Raise where the database holds what this checkout does not, or other than it does; say which, and the way out.

    `where` names the database.

    Raises:
        MigrationError: an applied file was edited, or an applied revision has no file.
    """
    if unknown := [line for line in lines if line.state is State.UNKNOWN]:
        raise MigrationError(_on_unknown(migrations, lines, unknown, where))
    for line in lines:
        if line.state is State.EDITED and line.entry is not None:
            raise MigrationError(_on_edited(migrations, line, line.entry, where))


def _line(script: Script, entry: Entry | None, *, applied: bool) -> Line:
    file = file_of(script)
    if not applied:
        state = State.PENDING
    elif entry is None:
        state = State.UNRECORDED
    else:
        state = State.APPLIED if entry.sha256 == file.sha256 else State.EDITED
    return Line(script.revision, file.name, title_of(script), state, entry if applied else None)


def _behind(revisions: Sequence[str], entries: Mapping[str, Entry], held: set[str]) -> dict[str, Entry | None]:
    """Return the revisions and all that lies behind them, back to what the checkout holds, the oldest first."""
    found: dict[str, Entry | None] = {}
    left = list(revisions)
    while left:
        revision = left.pop()
        if revision not in held and revision not in found:
            found[revision] = entry = entries.get(revision)
            left += entry.follows if entry else []
    return dict(reversed(found.items()))


def _on_unknown(migrations: Migrations, lines: Sequence[Line], unknown: Sequence[Line], where: str) -> str:
    names = ", ".join(_told(line) for line in unknown)
    here = [line for line in lines if line.state not in {State.UNKNOWN, State.PENDING}]
    branches = [line for line in lines if line.state is State.PENDING]
    last = here[-1].file if here else "nothing"
    if any(line.entry is None for line in unknown):
        how = "The ledger does not know it, so its file can only come from the branch that has it"
    elif branches:
        how = f"It parts from this checkout after {last}, which goes on with {branches[0].file}"
    else:
        how = f"It is ahead of this checkout, which ends with {last}"
    back = "; ".join(
        f"`invoke history --show {line.revision} > {migrations.path_of(line.file)}`" for line in unknown if line.entry
    )
    return (
        f"There is {names} in {where}, and {migrations.folder} does not hold it. {how}. Check out the branch that "
        f"has it{f', or write back what was applied: {back}' if back else ''}. Nothing was changed."
    )


def _on_edited(migrations: Migrations, line: Line, entry: Entry, where: str) -> str:
    was = f" as {entry.file}" if entry.file != line.file else ""
    back = migrations.path_of(entry.file)
    return (
        f"{line.file} is not what was applied to {where} as revision {line.revision}{was} on "
        f"{entry.applied_at:%Y-%m-%d %H:%M} by {entry.applied_by}: its text is another now. A change belongs into a "
        f"new migration; `invoke history --show {line.revision} > {back}` writes back what was applied. If the change "
        f"makes no difference, `invoke migrate --accept {line.revision}` takes the file as it is. Nothing was changed."
    )


def _told(line: Line) -> str:
    if line.entry is None:
        return f"revision {line.revision!r}"
    when = f"{line.entry.applied_at:%Y-%m-%d %H:%M}"
    return f"revision {line.revision!r} ({line.entry.file}, applied on {when} by {line.entry.applied_by})"
