"""The pages that describe the project: their headings, code blocks and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.config.settings import CHECKOUT

README = "README.md"
_OWN_FIRST_LINE = "# Groundwork\n"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FILE = re.compile(r"`([\w./-]+)`:\s*$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A code block of a page.

    `file` is the path that the text before the block gives it, as in "`schema/models/notes.py`:"; empty where it has
    none.
    """

    page: str
    section: str
    language: str
    file: str
    text: str
    line: int

    @property
    def first_line(self) -> str:
        """What the block begins with."""
        return self.text.partition("\n")[0]

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.first_line!r}"


def pages() -> list[str]:
    """Return the paths of the ground's pages; the README is one of them until a product writes its own."""
    beside_code = sorted(
        page.relative_to(CHECKOUT).as_posix()
        for folder in ("schema", "infra", "tests")
        for page in (CHECKOUT / folder).rglob(README)
    )
    return [*([README] if has_own_readme() else []), *beside_code]


def pages_for_developers() -> list[str]:
    """Return the paths of the pages about work on the ground itself."""
    return sorted(page.relative_to(CHECKOUT).as_posix() for page in (CHECKOUT / ".github").rglob("*.md"))


def has_own_readme() -> bool:
    """Return whether the README is the ground's, and not that of a product."""
    readme = CHECKOUT / README
    return readme.is_file() and read(README).startswith(_OWN_FIRST_LINE)


def read(page: str) -> str:
    """Return the text of a page."""
    return (CHECKOUT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """Return the code blocks of a page, in order."""
    return list(_blocks(page, read(page)))


def _blocks(page: str, text: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        before = text[: found.start()]
        headings = _HEADING.findall(_BLOCK.sub("", before))
        file = _FILE.search(before)
        yield Block(
            page=page,
            section=headings[-1] if headings else "",
            language=found[1],
            file=file[1] if file else "",
            text=found[2],
            line=before.count("\n") + 1,
        )


def block_of(page: str, section: str) -> Block:
    """Return the first Python block of a section."""
    return next(block for block in blocks(page) if (block.section, block.language) == (section, "python"))


def prose(page: str) -> str:
    """Return the text of a page without its code blocks."""
    return _BLOCK.sub("", read(page))


def links(page: str) -> list[str]:
    """Return where the links of a page lead, as they are written."""
    return _LINK.findall(prose(page))


def anchors(page: str) -> set[str]:
    """Return the names by which links reach the headings of a page, as GitHub makes them."""
    names: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(next(each for each in _numbered(name) if each not in names))
    return names


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 0
    while True:
        number += 1
        yield f"{name}-{number}"


def target(page: str, link: str) -> tuple[Path, str]:
    """Return the file and the heading that a relative link of a page names."""
    path, _, anchor = link.partition("#")
    return ((CHECKOUT / page).parent / path).resolve() if path else CHECKOUT / page, anchor
