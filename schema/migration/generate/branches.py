"""Branches of migrations: joined by a migration that follows them all, or one put after the other."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import cast

from alembic import command
from alembic.script import Script

from schema.errors import MigrationError
from schema.migration.branches import Applied, Branches, take_back
from schema.migration.file_order import MigrationFile, Place, read_files, slug_of
from schema.migration.files import explained, open_scripts, whole_file
from schema.migration.generate.renumber import move_files


def merge(checkout: Path, message: str, applied: Applied | None = None) -> tuple[Path, ...]:
    """Write the migration that follows every head and changes nothing; return the files that are new.

    Of files with one number all but one get new numbers: the one that `applied` says a database has applied stays, or
    else that of the longest branch. All of it happens, or nothing.

    Raises:
        MigrationError: there are not several heads, or it is not clear which files are a branch.
    """
    config, scripts = open_scripts(checkout)
    branches = Branches(read_files(Path(scripts.versions)), applied)
    branches.require_clear()
    if not branches.parted:
        raise MigrationError("The migrations have one end, so there is nothing to merge.")
    places = _twins_apart(branches)
    heads = sorted(places[head].revision if head in places else head.revision for head in branches.heads)
    taken = (int(place.revision) for place in places.values() if place.revision.isdecimal())
    number = max([_last(branches.files, applied), *taken]) + 1
    revision, title = f"{number:04d}", message or f"merge {' and '.join(heads)}"
    with (
        explained(lambda reason: f"The migration {title!r} could not be written: {reason}. Nothing was changed."),
        move_files(places) as written,
        whole_file(scripts, title, lambda: revision),
        redirect_stdout(StringIO()),  # where Alembic reports the formatting of the file
    ):
        made = command.merge(config, heads, message=title, rev_id=revision)
    return (*written, Path(cast(Script, made).path))


def rebase(checkout: Path, names: str, applied: Applied | None = None) -> tuple[Path, ...]:
    """Put a branch after the other, under the next free numbers; return its files.

    `names` are files of that branch, separated by commas; one is enough where it is clear which others belong to it.

    Raises:
        MigrationError: there is no such file or no other branch, a file of the branch is applied, or it is not clear
            which files are the branch.
    """
    _, scripts = open_scripts(checkout)
    files = read_files(Path(scripts.versions))
    named = [_find_file(files, name.strip(), scripts.versions) for name in names.split(",") if name.strip()]
    branches = Branches(files, applied, named if len(named) > 1 else ())
    branches.require_clear()
    moving, onto = _moving(branches, named)
    _refuse_applied(branches, moving)
    with move_files(_places(branches, moving, onto)) as written:
        return written


def _find_file(files: Sequence[MigrationFile], name: str, folder: str) -> MigrationFile:
    wanted = Path(name).name
    if (file := next((file for file in files if wanted in {file.name, file.path.stem}), None)) is None:
        raise MigrationError(
            f"{folder} holds no file {name}. Name a file of the branch that is to go after the other.", files=(name,)
        )
    return file


def _moving(branches: Branches, named: Sequence[MigrationFile]) -> tuple[list[MigrationFile], MigrationFile]:
    """Return the files of the branch, in order, and the head that they go after."""
    heads = {head for file in named for head in branches.heads_after(file)}
    others = [head for head in branches.heads if head not in heads]
    if not others:
        names = " and ".join(file.name for file in named)
        raise MigrationError(
            f"{names} cannot be put after another branch: none is without it, and the migrations end in "
            f"{' and '.join(head.name for head in branches.heads)}. Nothing was changed.",
            files=tuple(file.name for file in named),
        )
    moving = branches.own(heads)
    shared = set(branches.through(*heads))

    def nearness(head: MigrationFile) -> tuple[int, int, int, str]:
        line = branches.through(head)
        return len(shared & set(line)), len(set(branches.done) & set(line)), len(line), head.name

    return moving, max(others, key=nearness)


def _refuse_applied(branches: Branches, moving: Sequence[MigrationFile]) -> None:
    done = [file for file in moving if file in branches.done]
    if not done or branches.applied is None:
        return
    others = [branches.own([head]) for head in branches.heads if head not in moving]
    free = [files[0].name for files in others if files and not set(files) & set(branches.done)]
    way = (
        f"Put the other branch after it: {', then '.join(f'`invoke generate --rebase {name}`' for name in free)}."
        if free
        else "Join the branches: `invoke generate --merge`."
    )
    names = ", ".join(file.name for file in done)
    raise MigrationError(
        f"{names} cannot be renumbered, because {branches.applied.place} has it applied. {way} "
        f"{take_back(branches, moving)} Nothing was changed.",
        files=tuple(file.name for file in done),
    )


def _places(branches: Branches, moving: Sequence[MigrationFile], onto: MigrationFile) -> dict[MigrationFile, Place]:
    """Return where each file of a branch goes: its first files after `onto`, the others after those as before."""
    _refuse_needed(branches, moving)
    numbers = _numbered(moving, branches, leaving=moving)
    behind = set(branches.through(onto))
    places = {}
    for file in moving:
        inside = [parent for parent in branches.parents[file] if parent in numbers]
        beside = [parent for parent in branches.parents[file] if parent not in numbers and parent not in behind]
        places[file] = _place(file, numbers, [*(inside or [onto]), *beside])
    return places


def _refuse_needed(branches: Branches, moving: Sequence[MigrationFile]) -> None:
    moved = {file.revision: file for file in moving if file not in branches.twins}
    for file in branches.files:
        if file not in moving and (
            needed := [moved[revision].name for revision in file.depends_on if revision in moved]
        ):
            raise MigrationError(
                f"{file.name} depends on {needed[0]}, so that one cannot go after it. Put the other branch after this "
                "one, or join them: `invoke generate --merge`. Nothing was changed.",
                files=(file.name, needed[0]),
            )


def _twins_apart(branches: Branches) -> dict[MigrationFile, Place]:
    """Return new numbers for the files whose number another file keeps, and what that changes in their followers."""

    def claim(head: MigrationFile) -> tuple[int, int, str]:
        line = branches.through(head)
        return len(set(branches.done) & set(line)), len(line), head.name

    kept: dict[str, MigrationFile] = {}
    for head in sorted(branches.heads, key=claim, reverse=True):
        for file in branches.through(head):
            kept.setdefault(file.revision, file)
    apart = branches.in_order([file for file in branches.twins if file not in kept.values()])
    numbers = _numbered(apart, branches)
    followers = [file for file in branches.files if set(branches.parents[file]) & set(apart)]
    numbers = {file: file.revision for file in followers} | numbers
    return {file: _place(file, numbers, branches.parents[file]) for file in numbers}


def _numbered(
    files: Sequence[MigrationFile], branches: Branches, leaving: Sequence[MigrationFile] = ()
) -> dict[MigrationFile, str]:
    """Return the next free numbers, above those of the files that stay and those that the database knows."""
    last = _last([file for file in branches.files if file not in leaving], branches.applied)
    return {file: f"{number:04d}" for number, file in enumerate(files, last + 1)}


def _last(files: Sequence[MigrationFile], applied: Applied | None) -> int:
    return max([applied.last_number if applied else 0, *(file.number for file in files)])


def _place(file: MigrationFile, numbers: dict[MigrationFile, str], parents: Sequence[MigrationFile]) -> Place:
    return Place(
        _path(file, numbers),
        numbers[file],
        tuple(numbers.get(parent, parent.revision) for parent in parents),
        tuple(_path(parent, numbers).name for parent in parents),
        {other.revision: number for other, number in numbers.items() if other.revision in file.depends_on},
    )


def _path(file: MigrationFile, numbers: dict[MigrationFile, str]) -> Path:
    """Return a file's new path: its name begins with its number, whatever it began with before."""
    number = numbers.get(file, file.revision)
    return file.path if number == file.revision else file.path.with_name(f"{number}_{slug_of(file.name) or file.name}")
