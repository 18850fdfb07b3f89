"""Which types hold every value of another, as far as their names tell."""

import re

_TYPE = re.compile(r"([^(\[]+?)(?:\((\d+)(?:,(-?\d+))?\))?( with(?:out)? time zone)?(\[\])*")
_STRINGS = {"character varying", "character", "text"}
_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
_STAMPS = ("timestamp without time zone", "timestamp with time zone")
_WIDER = {
    *(("smallint", wider) for wider in ("integer", "bigint", "real", "double precision")),
    *(("integer", wider) for wider in ("bigint", "double precision")),
    ("real", "double precision"),
    *(("boolean", wider) for wider in ("smallint", "integer", "bigint")),
    *(("date", wider) for wider in _STAMPS),
    (_STAMPS[0], _STAMPS[1]),
    (_STAMPS[1], _STAMPS[0]),
    ("time without time zone", "time with time zone"),
    ("time without time zone", "interval"),
    ("bit", "bit varying"),
    ("jsonb", "json"),
    ("cidr", "inet"),
}


def holds_every_value(former: str, wanted: str) -> bool:
    """Return whether a type surely holds every value of another; both as PostgreSQL writes them (`format_type`)."""
    (kind, sizes, dimensions), (new, limits, to) = _parse(former), _parse(wanted)
    if new in _STRINGS - {"character"} and not limits:
        return True
    if dimensions != to:
        return False
    if new == "numeric" and (kind == "numeric" or kind in _DIGITS):
        return not limits or _fits(kind, sizes, limits)
    if kind == new == "bit":
        return sizes == limits
    if kind == new or {kind, new} <= _STRINGS or (kind, new) in _WIDER:
        return not limits or (bool(sizes) and sizes[0] <= limits[0])
    return False


def _parse(written: str) -> tuple[str, tuple[int, ...], bool]:
    match = _TYPE.fullmatch(written)
    if match is None:
        return written, (), False
    kind, *sizes, zone, array = match.groups()
    return f"{kind}{zone or ''}", tuple(int(size) for size in sizes if size), bool(array)


def _fits(kind: str, sizes: tuple[int, ...], limits: tuple[int, ...]) -> bool:
    """Return whether a numeric of these limits, digits and those after the point, has room for all digits."""
    digits, scale = sizes if len(sizes) == 2 else (_DIGITS.get(kind, 1_000), 0 if kind in _DIGITS else 1_000)
    room, behind = limits if len(limits) == 2 else (limits[0], 0)
    return behind >= scale and room - behind >= digits - scale
