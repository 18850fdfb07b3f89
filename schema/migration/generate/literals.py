"""Write the texts of a migration file as a person would: without escapes where a raw or another literal needs none."""

import ast
import io
import tokenize
from collections.abc import Iterator


def plain_literals(source: str) -> str:
    """Return Python source with the same texts, each with escapes only where it cannot do without."""
    lines = source.splitlines(keepends=True)
    for token in reversed([*tokenize.generate_tokens(io.StringIO(source).readline)]):
        if token.type == tokenize.STRING and token.string[0] in "'\"" and "\\" in token.string:
            plain = _plain(ast.literal_eval(token.string))
            if plain is not None:
                (row, first), (_, last) = token.start, token.end
                lines[row - 1] = lines[row - 1][:first] + plain + lines[row - 1][last:]
    return "".join(lines)


def _plain(text: str) -> str | None:
    """Return a literal of the text on one line, None where each needs an escape."""
    if not text.isprintable():
        return None
    return next((written for written in _literals(text) if _is_literal_of(written, text)), None)


def _literals(text: str) -> Iterator[str]:
    prefix = "r" if "\\" in text else ""
    for quotes in ('"', "'", '"""'):
        yield f"{prefix}{quotes}{text}{quotes}"


def _is_literal_of(written: str, text: str) -> bool:
    try:
        return bool(ast.literal_eval(written) == text)
    except SyntaxError:
        return False
