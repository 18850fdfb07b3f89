"""The place of migrations among each other as their files state it, without running them, and changed to another."""

import ast
import hashlib
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from schema.errors import MigrationError

_LINE_END = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")
_FOLLOWS = re.compile(r"^# follows (\S+\.py)[ \t]*(?:\r\n|\r|\n)", re.MULTILINE)
_PLACE = ("revision", "down_revision", "depends_on")


@dataclass(frozen=True, slots=True)
class MigrationFile:
    """A file, the revision that it makes, and the revisions that it follows or depends on.

    `followed_files` are the files that a generated migration names beside those revisions: two files may have one
    number.
    """

    path: Path
    revision: str
    follows: tuple[str, ...]
    depends_on: tuple[str, ...] = ()
    followed_files: frozenset[str] = frozenset()
    sha256: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def number(self) -> int:
        """Its number, 0 where the revision is none."""
        return int(self.revision) if self.revision.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a migration is moved to: its file, its revision, the revisions and files that it follows.

    `renumbered` has the new revisions of what it depends on.
    """

    path: Path
    revision: str
    follows: tuple[str, ...]
    followed_files: tuple[str, ...]
    renumbered: Mapping[str, str]


def slug_of(name: str) -> str:
    """Return the part of a file's name after the number."""
    return name.partition("_")[2]


def read_files(folder: Path) -> tuple[MigrationFile, ...]:
    """Read the place of every migration in a folder.

    Raises:
        MigrationError: a file is not Python, or does not state its revision.
    """
    paths = sorted(path for path in folder.glob("*.py") if not path.name.startswith(("__init__", ".#")))
    return tuple(map(_read, paths))


def _read(path: Path) -> MigrationFile:
    content = path.read_bytes()
    text, _ = _decoded(path, content)
    values = {name: _literal(path, name, node) for name, node in _assigned(_parse(path, text)).items()}
    if not isinstance(revision := values.get("revision"), str):
        raise MigrationError(
            f'{path} does not state its revision. A migration has a line such as `revision = "0002"`: write it, or '
            "remove the file.",
            files=(path.name,),
        )
    return MigrationFile(
        path,
        revision,
        _revisions(values.get("down_revision")),
        _revisions(values.get("depends_on")),
        frozenset(_FOLLOWS.findall(text)),
        hashlib.sha256(content).hexdigest(),
    )


def text_at(file: MigrationFile, place: Place) -> bytes:
    """Return the content of a migration's file at another place; all other text stays byte for byte.

    Raises:
        MigrationError: the file cannot be read.
    """
    text, encoding = _decoded(file.path, file.path.read_bytes())
    module = _parse(file.path, text)
    offsets = _Offsets(text)
    edits = [*_docstring_edits(module, text, offsets, file, place), *_value_edits(module, text, offsets, place)]
    edits += _comment_edits(text, place)
    for start, end, instead in sorted(edits, reverse=True):
        text = text[:start] + instead + text[end:]
    return text.encode(encoding)


_Edit = tuple[int, int, str]


class _Offsets:
    """Turns the positions of a syntax tree, lines and bytes of UTF-8, into offsets of the text."""

    def __init__(self, text: str) -> None:
        self._lines = _LINE_END.split(text)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def span(self, node: ast.expr) -> tuple[int, int]:
        """Return where a node begins and ends."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return self._at(node.lineno, node.col_offset), self._at(end_line, end_column)

    def _at(self, line: int, column: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())


def _docstring_edits(
    module: ast.Module, text: str, offsets: _Offsets, file: MigrationFile, place: Place
) -> Iterator[_Edit]:
    """Yield the changes to the heading that this project writes, or Alembic."""
    first = module.body[0] if module.body else None
    if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and ast.get_docstring(module)):
        return
    begin, end = offsets.span(first.value)
    old, follows = re.escape(file.revision), ", ".join(place.follows)
    patterns = (
        (
            rf"\bRevision {old}, (?:follows [^\r\n]+?|the first)\.(?=\s)",
            f"Revision {place.revision}, follows {follows}.",
        ),
        (rf"(?m)(?<=^Revision ID: ){old}(?=[ \t]*\r?$)", place.revision),
        (r"(?m)(?<=^Revises: )[^\r\n]*?(?=[ \t]*\r?$)", follows),
    )
    for pattern, instead in patterns:
        for found in re.compile(pattern).finditer(text, begin, end):
            yield found.start(), found.end(), instead


def _value_edits(module: ast.Module, text: str, offsets: _Offsets, place: Place) -> Iterator[_Edit]:
    nodes = _assigned(module)
    yield from _strings(nodes["revision"], [place.revision], text, offsets)
    if (parents := nodes.get("down_revision")) is not None:
        yield from _strings(parents, place.follows, text, offsets)
    if (needed := nodes.get("depends_on")) is not None:
        old = _revisions(ast.literal_eval(needed))
        yield from _strings(needed, [place.renumbered.get(revision, revision) for revision in old], text, offsets)


def _strings(node: ast.expr, instead: Sequence[str], text: str, offsets: _Offsets) -> Iterator[_Edit]:
    """Yield the changes that put other strings in the place of a literal's; one of another shape is written new."""
    constants = [
        constant
        for constant in ast.walk(node)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    ]
    if len(constants) != len(instead):
        yield (*offsets.span(node), _write_revisions(instead))
        return
    for constant, new in zip(constants, instead, strict=True):
        start, end = offsets.span(constant)
        quote = text[start] if text[start] in "'\"" else '"'
        if constant.value != new:
            yield start, end, f"{quote}{new}{quote}"


def _write_revisions(revisions: Sequence[str]) -> str:
    quoted = [f'"{revision}"' for revision in revisions]
    return quoted[0] if len(quoted) == 1 else f"({', '.join(quoted)})" if quoted else "None"


def _comment_edits(text: str, place: Place) -> Iterator[_Edit]:
    """Yield the change to the comments that name the followed files, where a file has such."""
    for number, found in enumerate(_FOLLOWS.finditer(text)):
        ending = re.search(r"[\r\n]+$", found[0])
        lines = "".join(f"# follows {name}{ending[0] if ending else ''}" for name in place.followed_files)
        yield found.start(), found.end(), "" if number else lines


def _decoded(path: Path, content: bytes) -> tuple[str, str]:
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(content).readline)
        return content.decode(encoding), encoding
    except (SyntaxError, UnicodeDecodeError) as error:
        raise MigrationError(f"{path} cannot be read: {error}. Save it as UTF-8.", files=(path.name,)) from error


def _parse(path: Path, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
        raise MigrationError(
            f"{path} cannot be read: SyntaxError: {line}. Correct the file; lines such as <<<<<<< are what a merge of "
            "git left to decide.",
            files=(path.name,),
        ) from error


def _assigned(module: ast.Module) -> dict[str, ast.expr]:
    """Return the expressions of the module's assignments that say where the migration stands."""
    found: dict[str, ast.expr] = {}
    for node in module.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            names = [target.id for target in targets if isinstance(target, ast.Name) and target.id in _PLACE]
            found.update(dict.fromkeys(names, node.value))
    return found


def _literal(path: Path, name: str, node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise MigrationError(
            f"{path}, line {node.lineno}: {name} is computed, so it cannot be known where the migration stands without "
            "running it. Write the revision as a string.",
            files=(path.name,),
        ) from None


def _revisions(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, tuple | list | set) else (str(value),)
