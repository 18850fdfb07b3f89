"""Branches of migrations by any number of developers, off any point of the common past, with whatever was applied."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from schema.errors import MigrationError
from schema.migration.apply.ledger import Entry
from schema.migration.branches import Applied
from schema.migration.file_order import read_files
from schema.migration.files import Migrations
from schema.migration.generate.branches import merge, rebase
from tests.ground.unit.test_heads import MAKO
from tests.ground.unit.test_migrate_input import PYPROJECT

_PRINTED = re.compile(r"`invoke generate --(rebase|merge) ?([^`]*)`")
_PLACE = re.compile(rb"^(?:Revision .*|# follows .*|(?:down_)?revision = .*)\r?\n", re.MULTILINE)
_NEWLINES = {"\n": "utf-8", "\r\n": "latin-1"}


@dataclass(frozen=True)
class History:
    """A common past, and for each developer where the branch leaves it, how long it is, and how its files end lines."""

    trunk: int
    branches: tuple[tuple[int, int, str], ...]
    applied: int
    of: int


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw one; the database has applied a part of one branch, or of the common past alone."""
    trunk = draw(st.integers(1, 3))
    branch = st.tuples(st.integers(1, trunk), st.integers(1, 3), st.sampled_from(list(_NEWLINES)))
    branches = tuple(draw(st.lists(branch, min_size=1, max_size=3)))
    return History(trunk, branches, draw(st.integers(0, 3)), draw(st.integers(0, len(branches) - 1)))


def text(number: int, name: str, follows: str | None, newline: str) -> bytes:
    """Return a file as it is generated, with more text around its place."""
    parent = follows.partition("_")[0] if follows else None
    lines = [
        f"# -*- coding: {_NEWLINES[newline]} -*-", f'"""Für {name}, 0002 and 0003.', "",
        f"Revision {number:04d}, {f'follows {parent}' if parent else 'the first'}.", '"""', "",
        f"revision = '{number:04d}'", *([f"# follows {follows}"] if follows else []), f"down_revision = {parent!r}", "",
        "def upgrade():", "    '''é 0002'''  ", "", "def downgrade():", "    pass  # no newline at the end",
    ]  # fmt: skip
    return newline.join(lines).encode(_NEWLINES[newline])


def build(history: History, folder: Path) -> tuple[Applied, dict[str, set[str]]]:
    """Write the files; return what the database has applied, and what each slug has to come after."""
    after: dict[str, set[str]] = {}
    lines: list[list[tuple[int, str, str | None, str]]] = [[]]
    for number in range(1, history.trunk + 1):
        lines[0].append((number, f"t{number}", lines[0][-1][1] if lines[0] else None, "\n"))
    for developer, (base, length, newline) in enumerate(history.branches):
        numbers, line = count(base + 1), list(lines[0][:base])
        for index in range(length):
            line.append((next(numbers), f"d{developer}_{index}", line[-1][1], newline))
        lines.append(line)
    names = {slug: f"{number:04d}_{slug}.py" for line in lines for number, slug, *_ in line}
    for line in lines:
        for number, slug, follows, newline in line:
            after[slug] = {follows} if follows else set()
            content = text(number, slug, names[follows] if follows else None, newline)
            (folder / names[slug]).write_bytes(content)
    base = history.branches[history.of][0]
    done = lines[history.of + 1][: base + history.applied] if history.applied else lines[0]
    files = {file.name: file for file in read_files(folder)}
    entries = [
        Entry(
            f"{number:04d}",
            names[slug],
            [*files[names[slug]].follows],
            files[names[slug]].sha256,
            "",
            _NOW,
            1,
            "a",
            "v",
        )
        for number, slug, *_ in done
    ]
    return Applied("database 'app'", (entries[-1].revision,), {entry.revision: entry for entry in entries}), after


def follow(folder: Path, applied: Applied, way: str) -> None:
    """Run what the advice prints, until there is none."""
    for _ in range(8):
        try:
            Migrations.load(folder, lambda: applied)
        except MigrationError as error:
            printed = _PRINTED.findall(str(error))
            kind, name = next((command for command in printed if command[0] == way), printed[0])
            if kind == "merge":
                merge(folder, "joined", applied)
            else:
                rebase(folder, name, applied)


_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def slug(path: str | Path) -> str:
    """Return what a file is called without its number."""
    return Path(path).stem.partition("_")[2]


@settings(max_examples=40, deadline=None)
@given(histories(), st.sampled_from(["rebase", "merge"]))
def test_the_advice_leads_to_one_head(history: History, way: str) -> None:
    """Every file stays after what it followed, what is applied stays as it is, and no other byte changes."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "versions").mkdir()
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "script.py.mako").write_text(MAKO.read_text())
        applied, after = build(history, folder / "versions")
        before = {slug(path): path.read_bytes() for path in (folder / "versions").iterdir()}
        done = {entry.file: before[slug(entry.file)] for entry in applied.entries.values()}
        follow(folder, applied, way)
        order = [slug(script.path) for script in Migrations.load(folder).in_order]
        now = {
            slug(path): path.read_bytes() for path in (folder / "versions").glob("*.py") if "joined" not in path.name
        }
        assert {name: _PLACE.sub(b"", content) for name, content in now.items()} == {
            name: _PLACE.sub(b"", content) for name, content in before.items()
        }
        assert all(order.index(parent) < order.index(name) for name, parents in after.items() for parent in parents)
        assert done == {file: (folder / "versions" / file).read_bytes() for file in done}
        assert all(
            file.name.startswith(f"{file.revision}_")
            and f"Revision {file.revision}, ".encode() in file.path.read_bytes()
            for file in read_files(folder / "versions")
        )
