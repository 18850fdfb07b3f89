"""Values for columns, made up from their types and their CHECKs alone.

A value is text that the server casts to the column's type.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from uuid import uuid4

from schema.isolation.probe.shapes import Check, Column

_TEXTS = {"text", "varchar", "bpchar", "citext", "name"}
_NUMBERS = {"int2", "int4", "int8", "float4", "float8", "money", "oid"}
_FIXED = {
    "bool": "false",
    "json": "{}",
    "jsonb": "{}",
    "xml": "<a/>",
    "tsvector": "",
    "tsquery": "a",
    "array": "{}",
    "range": "empty",
    "multirange": "{}",
    "point": "(0,0)",
    "line": "{1,0,0}",
    "lseg": "(0,0),(1,1)",
    "box": "(0,0),(1,1)",
    "path": "((0,0))",
    "polygon": "((0,0))",
    "circle": "<(0,0),1>",
}
# What a CHECK that names no value asks for most often: a form, a sign, a length.
_COMMON = ("a", "A", "abc", "ABC", "a-b", "a@example.com", "https://example.com", "+49301234567", "2000-01-01", "true")
# Whatever a range is of, the last holds all of it.
_RANGES = ("[1,2)", "[2000-01-01,2000-01-02)", "(,)")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
_MANY = 10  # elements of an array that is tried
_HEADER = 4  # bytes of a varlena header, which the type modifier of a text type counts

_counter = count(1)


def make_up(column: Column) -> str | None:
    """Return a value that no earlier one equals where the type has room for that; None for a type unknown here."""
    number = next(_counter)
    day = date(2000, 1, 1) + timedelta(days=number)
    if column.kind in _TEXTS:
        return _text(f"probe-{number}", column)
    if column.kind in _NUMBERS:
        return str(number)
    if column.kind == "numeric":
        return str(number % 10 ** _whole_digits(column))
    varying = {
        "uuid": str(uuid4()),
        "date": day.isoformat(),
        "timestamp": day.isoformat(),
        "timestamptz": f"{day.isoformat()}T00:00:00Z",
        "time": f"00:00:00.{number % 1_000_000:06}",
        "timetz": f"00:00:00.{number % 1_000_000:06}Z",
        "interval": f"{number} seconds",
        "bytea": f"\\x{number:08x}",
        "inet": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        "cidr": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/32",
        "macaddr": f"02:00:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
        "bit": f"{number:b}".zfill(max(column.modifier, 1))[-max(column.modifier, 1) :],
        "varbit": "1",
        **_of_extensions(column, number),
    }
    if column.kind == "enum":
        return column.labels[0] if column.labels else None
    return varying.get(column.kind, _FIXED.get(column.kind))


def _of_extensions(column: Column, number: int) -> dict[str, str]:
    """Return values of the types of pgvector (whose modifier is the number of dimensions) and of contrib."""
    dimensions = max(column.modifier, 1)
    dense = "[" + ",".join([str(number), *["0"] * (dimensions - 1)]) + "]"
    return {
        "vector": dense,
        "halfvec": dense,
        "sparsevec": f"{{1:{number}}}/{dimensions}",
        "cube": f"({number})",
        "hstore": f"a=>{number}",
        "ltree": f"a.b{number}",
    }


def _text(text: str, column: Column) -> str:
    """Keep the end of it, which differs, where the column is short."""
    return text if column.modifier < _HEADER else text[-(column.modifier - _HEADER) :]


def _whole_digits(column: Column) -> int:
    """Return how many digits before the point a numeric has room for; its modifier is (precision << 16) + scale."""
    if column.modifier < _HEADER:
        return 9
    packed = column.modifier - _HEADER
    return min(9, max(0, (packed >> 16) - (packed & 0x7FF)))


def candidates(check: Check, column: Column) -> Iterator[str | None]:
    """Return values that might satisfy a CHECK: those that it names, their neighbours, and common forms."""
    if not column.not_null:
        yield None
    if column.element:
        yield from _arrays(check, column)
    yield from column.labels
    yield from (literal.replace("''", "'") for literal in re.findall(r"'((?:[^']|'')*)'", check.definition))
    for number in map(float, _NUMBER.findall(check.definition)):
        for near in (number, number + 1, number - 1):
            yield f"{near:g}"
        if column.kind in _TEXTS and 0 < number <= 1000:
            yield from ("a" * int(number), "A" * int(number), "1" * int(number))
    if column.kind == "range":
        yield from _RANGES
    if column.kind == "multirange":
        yield from (f"{{{span}}}" for span in _RANGES)
    yield from (*_COMMON, "0", "1", "-1", "{}")
    if (value := make_up(column)) is not None:
        yield value


def _arrays(check: Check, column: Column) -> Iterator[str]:
    """Return arrays of one element that might satisfy a CHECK, and of as many as it names."""
    element = replace(column, kind=column.element, element="", not_null=True, modifier=-1)
    found = [*filter(None, candidates(check, element))]
    yield from (_array([text]) for text in found)
    for number in map(int, map(float, _NUMBER.findall(check.definition))):
        if 1 < number <= _MANY:
            yield from (_array([text] * number) for text in found)


def _array(elements: list[str]) -> str:
    """Return an array as text (PostgreSQL manual, 8.15.6)."""
    quoted = (element.replace("\\", "\\\\").replace('"', '\\"') for element in elements)
    return "{" + ",".join(f'"{element}"' for element in quoted) + "}"
