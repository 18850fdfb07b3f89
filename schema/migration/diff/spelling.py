"""Spell PostgreSQL's own text so that it is the same text when PostgreSQL has read it.

What PostgreSQL writes down of an expression is not always what it makes of that text.

- It takes a cast of ARRAY[…] for one of its elements (`transformTypeCast` in parse_expr.c), so `status IN ('a', 'b')`
  on a varchar column, which it writes as `(ARRAY['a'::character varying, …])::text[]`, comes back as
  `ARRAY[('a'::character varying)::text, …]`. A cast to the array's own type keeps the outer one where it is.
- It makes one list of AND within the first operand of AND (`makeAndExpr` in gram.y), and of OR, so
  `n BETWEEN 1 AND 9 AND b`, which it writes as `((n >= 1) AND (n <= 9)) AND b`, comes back without those parentheses.
  A cast to boolean keeps them.

It keeps neither of these casts, since what they are on is of that type.
"""

import re

# Constants and quoted names, what opens, closes and connects, and the rest, a character each.
_TOKENS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|ARRAY\[| AND\b| OR\b|.""", re.DOTALL)
_CAST = re.compile(r"""::((?:[^\W\d]|"(?:[^"]|"")*")(?:[\w .]|"(?:[^"]|"")*"|\([\d,]*\))*)$""")
_CLOSES = {"ARRAY[": "]", "[": "]", "(": ")"}


def reproducible(text: str) -> str:
    """Return an expression in full, or a statement that holds one, as PostgreSQL makes the same of it again."""
    tokens = _TOKENS.findall(text)
    spelled = list(tokens)
    opened: list[tuple[int, set[str]]] = []
    for number, token in enumerate(tokens):
        if token in _CLOSES:
            opened.append((number, set()))
        elif opened and token in {" AND", " OR"}:
            opened[-1][1].add(token)
        elif opened and token == _CLOSES[tokens[opened[-1][0]]]:
            start, connected = opened.pop()
            if tokens[start] == "ARRAY[" and _is_cast(tokens, number) and (kind := _kind(tokens[start + 1 : number])):
                spelled[number] += f"::{kind}[]"
            elif "".join(tokens[start - 1 : start + 1]) == "((" and connected.intersection(tokens[number + 1 :][:1]):
                spelled[number] += "::boolean"
    return "".join(spelled)


def _is_cast(tokens: list[str], end: int) -> bool:
    """Return whether an array is cast as a whole: `ARRAY[…]::` or, as in full, `(ARRAY[…])::`."""
    after = "".join(tokens[end + 1 : end + 4])
    return after.startswith(("::", ")::"))


def _kind(inside: list[str]) -> str:
    """Return the type of the elements: what one of them is cast to; nothing where none is."""
    depth, element = 0, ""
    for part in (*inside, ","):
        if part == "," and not depth:
            if found := _CAST.search(element):
                return found[1]
            element = ""
        else:
            depth += (part in _CLOSES) - (part in _CLOSES.values())
            element += part
    return ""
