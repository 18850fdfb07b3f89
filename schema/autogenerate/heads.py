"""Branches of migrations: joined by a migration that follows them all, or one put behind the other."""

import ast
import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import cast

from alembic import command
from alembic.script import Script

from schema.errors import MigrationError
from schema.revisions import open_scripts


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    revision: str
    follows: tuple[str, ...]


def merge(checkout: Path, message: str) -> Path:
    """Write the migration that follows every head and changes nothing.

    Raises:
        MigrationError: there are not several heads.
    """
    config, scripts = open_scripts(checkout)
    heads = sorted(scripts.get_heads())
    if len(heads) < 2:
        raise MigrationError("The migrations have one end, so there is nothing to merge.")
    numbers = [int(one.revision) for one in scripts.walk_revisions() if one.revision.isdigit()]
    title = message or f"merge {' and '.join(heads)}"
    with redirect_stdout(StringIO()):  # where Alembic tells that it runs what formats the file
        made = command.merge(config, heads, message=title, rev_id=f"{max(numbers, default=0) + 1:04d}")
    return Path(cast(Script, made).path)


def rebase(checkout: Path, name: str) -> tuple[Path, ...]:
    """Put a migration, and those that follow it, behind the other head, under the next free numbers; return the files.

    `name` is the file of the first that moves: the one that nobody has applied yet.

    Raises:
        MigrationError: there is no such file, or no one head to go behind.
    """
    _, scripts = open_scripts(checkout, readable=False)
    files = [_read(path) for path in sorted(Path(scripts.versions).glob("*.py"))]
    first = next((file for file in files if file.path.name in {name, f"{name}.py"}), None)
    if first is None:
        raise MigrationError(f"{scripts.versions} holds no file {name}. Name the file that is to go behind the others.")
    moving = _with_followers(first, files)
    staying = [file for file in files if file not in moving]
    followed = {revision for file in staying for revision in file.follows}
    heads = [file for file in staying if file.revision not in followed]
    if len(heads) != 1 or heads[0].revision in first.follows:
        ends = " and ".join(head.path.name for head in heads)
        raise MigrationError(f"{first.path.name} cannot be put behind the others, which end in {ends or 'nothing'}.")
    return _renumbered(moving, heads[0].revision, max(int(f.revision) for f in staying if f.revision.isdigit()))


def _with_followers(first: _File, files: list[_File]) -> list[_File]:
    """Return a file and what follows it; where another has its number, nobody can tell whose followers they are."""
    moving = [first]
    twins = [file for file in files if file.revision == first.revision]
    for file in moving:
        followers = [one for one in files if file.revision in one.follows]
        if len(file.follows) > 1:
            raise MigrationError(f"{file.path.name} joins branches. Remove it, then put one behind the other.")
        if followers and len(twins) > 1:
            raise MigrationError(
                f"{followers[0].path.name} follows {file.revision}, which "
                f"{' and '.join(one.path.name for one in twins)} both are. Say in it which, under a number of its own."
            )
        moving.extend(followers)
    return moving


def _renumbered(moving: list[_File], follows: str, last: int) -> tuple[Path, ...]:
    written = []
    for number, file in enumerate(moving, last + 1):
        revision = f"{number:04d}"
        text = file.path.read_text(encoding="utf-8")
        for pattern, instead in (
            (rf"^Revision {file.revision}, follows \S+\.$", f"Revision {revision}, follows {follows}."),
            (r"^(revision(?:: [^=]+)? = ).*$", rf'\g<1>"{revision}"'),
            (r"^(down_revision(?:: [^=]+)? = ).*$", rf'\g<1>"{follows}"'),
        ):
            text = re.sub(pattern, instead, text, count=1, flags=re.MULTILINE)
        path = file.path.with_name(f"{revision}_{file.path.name.partition('_')[2]}")
        path.write_text(text, encoding="utf-8")
        if path != file.path:
            file.path.unlink()
        written.append(path)
        follows = revision
    return tuple(written)


def _read(path: Path) -> _File:
    """Read what a migration says of its place, without running it."""
    said: dict[str, object] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name) and target.id in {"revision", "down_revision"}:
                said[target.id] = ast.literal_eval(node.value)
    follows = said.get("down_revision")
    parents = follows if isinstance(follows, tuple) else () if follows is None else (follows,)
    return _File(path, str(said.get("revision", "")), tuple(map(str, parents)))
