"""Which statements of SQL take data away.

Read is what PostgreSQL's lexer distinguishes (PostgreSQL manual, 4.1): comments, constants and quoted names, so that a
word inside one of them is never taken for a command. The body of a DO block is a constant too, and is searched for the
words alone, because what it runs may be put together there.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar


class Kind(StrEnum):
    """What a statement does to data."""

    DROP_TABLE = "drops table"
    DROP_COLUMN = "drops column"
    TRUNCATE = "truncates"
    DELETE = "deletes from"
    RETYPE = "changes the type of"
    CONVERT = "may convert values:"
    OTHER = "may drop data:"


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that is taken away; names are as the statement writes them.

    A column that changes its type becomes `type`, by the expression `using` where there is one.
    """

    kind: Kind
    table: str
    column: str = ""
    type: str = ""
    using: str = ""

    def __str__(self) -> str:
        to = f" to {self.type}" if self.type else ""
        return f"{self.kind} {self.table}{'.' if self.column else ''}{self.column}{to}"


class _Word(str):
    """A word of a statement, and where in the text it begins and ends."""

    __slots__ = ("begins", "ends")
    begins: int
    ends: int

    @classmethod
    def of(cls, token: "re.Match[str]") -> "_Word":
        word = cls(token[0])
        word.begins, word.ends = token.span()
        return word


_AnyWord = TypeVar("_AnyWord", bound=str)
_TOKEN = re.compile(
    r"""
      (?P<skip>   --[^\n]* | /\*.*?\*/ | \s+ )
    | (?P<body>   \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<string> [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' )
    | (?P<name>   "(?:[^"]|"")*" | [^\W\d][\w$]* )
    | (?P<mark>   . )
    """,
    re.VERBOSE | re.DOTALL,
)
_CONSTANT = re.compile(r"[eE]'(?:[^'\\]|\\.|'')*'?|'(?:[^']|'')*'?|\$(\w*)\$.*?(?:\$\1\$|\Z)", re.DOTALL)
_IN_A_BODY = re.compile(
    r"\b(DROP\s+(?:TABLE|COLUMN|SCHEMA|OWNED)|TRUNCATE|DELETE\s+FROM|ALTER\s+TABLE[^;]*?\bDROP\b)", re.IGNORECASE
)
_CONVERTING = re.compile(r"\bALTER\s+TABLE[^;]*?\bALTER\b[^;]*?\bTYPE\b", re.IGNORECASE)
# With CASCADE these take columns along, or tables (PostgreSQL manual, 5.15).
_CASCADING = {"TYPE", "DOMAIN", "EXTENSION", "FUNCTION", "PROCEDURE", "ROUTINE", "COLLATION", "LANGUAGE", "ACCESS"}
# Most statements lose nothing, and it takes a tenth of the time to see that without reading them word by word.
_MAY_LOSE = re.compile(r"\b(?:DROP|TRUNCATE|DELETE|TYPE|DO)\b", re.IGNORECASE)
_LOSES_NOTHING = re.compile(r"\s*(?:CREATE|GRANT|REVOKE|COMMENT)\b[^;]*;?\s*", re.IGNORECASE)


def losses(sql: str) -> tuple[Loss, ...]:
    """Return what the statements in `sql` take away: tables, columns, rows, and values that another type may not hold.

    They are in the order of the statements.
    """
    if _LOSES_NOTHING.fullmatch(sql) or not _MAY_LOSE.search(sql):
        return ()
    return tuple(loss for words in _statements(sql) for loss in _of(words, sql))


def without_constants(sql: str) -> str:
    """Return a statement in one line and without its constants, which may be secrets, also where it was cut short."""
    return " ".join(_CONSTANT.sub("'…'", sql).split())


def _statements(sql: str) -> Iterator[list[_Word]]:
    words: list[_Word] = []
    for token in _TOKEN.finditer(sql):
        if token["mark"] == ";":
            yield words
            words = []
        elif not token["skip"]:
            words.append(_Word.of(token))
    yield words


def _of(words: Sequence[_Word], sql: str) -> Iterator[Loss]:
    upper = [word.upper() for word in words]
    match upper[:2]:
        case ["DROP", "TABLE"]:
            yield from (Loss(Kind.DROP_TABLE, name) for name in _names(words[2:]))
        case ["DROP", "SCHEMA" | "OWNED" | "DATABASE"]:
            yield Loss(Kind.OTHER, " ".join(words))
        case ["DROP", kind] if kind in _CASCADING and "CASCADE" in upper:
            yield Loss(Kind.OTHER, " ".join(words))
        case ["ALTER", "TABLE"]:
            yield from _altered(words[2:], sql)
        case ["ALTER", "TYPE"] if "ATTRIBUTE" in upper:
            kinds = {"DROP": Kind.OTHER, "TYPE": Kind.CONVERT}
            yield from (Loss(kind, " ".join(words)) for word, kind in kinds.items() if word in upper[2:])
        case ["TRUNCATE", *_] if "CASCADE" in upper:
            yield Loss(Kind.OTHER, " ".join(words))
        case ["TRUNCATE", *_]:
            yield from (Loss(Kind.TRUNCATE, name) for name in _names(_without(words, "TRUNCATE", "TABLE")))
        case ["DO", *_]:
            yield from _in_a_block(words)
        case ["CREATE" | "GRANT" | "REVOKE" | "COMMENT", *_]:
            pass  # what a function or a trigger will do is not done now
        case _:
            yield from _deleted(words, upper)


def _in_a_block(words: Sequence[str]) -> Iterator[Loss]:
    found = {match.upper() for word in words for match in _IN_A_BODY.findall(word)}
    yield from (Loss(Kind.OTHER, f"a DO block with {' '.join(match.split())}") for match in sorted(found))
    if any(map(_CONVERTING.search, words)):
        yield Loss(Kind.CONVERT, "a DO block with ALTER TABLE … TYPE")


def _altered(words: Sequence[_Word], sql: str) -> Iterator[Loss]:
    rest = _without(words, "IF", "EXISTS", "ONLY")
    table, length = _name(rest)
    for action in _split(_without(rest[length:], "*")):
        upper = [word.upper() for word in action[:3]]
        if upper[:1] == ["DROP"] and upper[1:2] not in ([], ["CONSTRAINT"]):
            column = _without(action[1:], "COLUMN", "IF", "EXISTS")
            yield Loss(Kind.DROP_COLUMN, table, column[0])
        elif upper[:1] == ["ALTER"]:
            yield from _retyped(table, _without(action[1:], "COLUMN"), sql)


def _retyped(table: str, words: Sequence[_Word], sql: str) -> Iterator[Loss]:
    """Yield the change of a column's type, the type and the expression as they are written."""
    action = _without(words[1:], "SET", "DATA")
    if [word.upper() for word in action[:1]] == ["TYPE"]:
        upper = [word.upper() for word in action]
        end = next((place for place, word in enumerate(upper) if word in {"COLLATE", "USING"}), len(upper))
        using = action[upper.index("USING") + 1 :] if "USING" in upper else []
        yield Loss(Kind.RETYPE, table, words[0], _text(action[1:end], sql), _text(using, sql))


def _text(words: Sequence[_Word], sql: str) -> str:
    return sql[words[0].begins : words[-1].ends] if words else ""


def _deleted(words: Sequence[str], upper: Sequence[str]) -> Iterator[Loss]:
    pairs = list(pairwise(upper))
    deleting = {("DELETE", "FROM")} | ({("MERGE", "INTO")} if ("THEN", "DELETE") in pairs else set())
    for number, pair in enumerate(pairs):
        if pair in deleting:
            yield Loss(Kind.DELETE, _name(_without(words[number + 2 :], "ONLY"))[0])


def _names(words: Sequence[str]) -> Iterator[str]:
    for part in _split(_without(words, "IF", "EXISTS", "ONLY")):
        if rest := _without(part, "ONLY"):
            yield _name(rest)[0]


def _name(words: Sequence[str]) -> tuple[str, int]:
    """Return the dotted name that begins here, and how many words it is."""
    length = 1
    while words[length : length + 1] == ["."]:
        length += 2
    return "".join(words[:length]), length


def _split(words: Sequence[_AnyWord]) -> Iterator[list[_AnyWord]]:
    part: list[_AnyWord] = []
    depth = 0
    for word in words:
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _without(words: Sequence[_AnyWord], *leading: str) -> list[_AnyWord]:
    """Drop these words where they lead, each in its turn."""
    rest = list(words)
    for word in leading:
        if rest and rest[0].upper() == word:
            del rest[0]
    return rest
