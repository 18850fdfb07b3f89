"""The changes of what domains check and default to, where PostgreSQL's own text is another once it has been read."""

from typing import Any

from sqlalchemy import ARRAY, Column, Enum, Integer, MetaData, Numeric, String, Table, Text, text
from sqlalchemy.dialects.postgresql import CIDR, DOMAIN, JSONB

from tests.ground.integration.autogenerate.changes import Change, Declare, several, table

# The type, its CHECK before and after.
CHECKS: tuple[tuple[Any, str, str], ...] = (
    (String(20), "VALUE IN ('a', 'b')", "VALUE IN ('a', 'b', 'it''s')"),
    (String(20), "VALUE <> 'a' AND (VALUE > 'b' AND VALUE NOT IN ('c', 'd'))", "VALUE <> 'a'"),
    (Text(), r"VALUE ~ '^(?\:\\d|ü)+\.[a-z]{2,}$' AND VALUE <> '100% %(x)s'", r"VALUE ~ '^(?\:\\d|ö)+$'"),
    (String(9), r"VALUE IN ('日本', E'\\n\:')", "VALUE IN ('日本', 'ü')"),
    (Integer(), "VALUE BETWEEN 1 AND 9 AND VALUE <> 3", "VALUE BETWEEN 1 AND 9"),
    (Numeric(10, 2), "VALUE IN (1, 2.50)", "VALUE IN (1, 2.5, -3)"),
    (ARRAY(String(5)), r"VALUE <@ ARRAY['a', 'b']\:\:varchar[]", r"VALUE <@ ARRAY['a']\:\:varchar[]"),
    (JSONB(), "jsonb_typeof(VALUE -> 'a') IN ('array', 'object')", "jsonb_typeof(VALUE) = 'array'"),
    (Enum("ok", "sad", name="mood"), "VALUE IN ('ok', 'sad')", "VALUE IN ('ok')"),
    (CIDR(), "VALUE IN ('10.0.0.0/8', '::/0')", "VALUE IN ('10.0.0.0/8', '11.0.0.0/8')"),
)


def domains(after: int) -> Declare:
    """Declare a table with a column of each domain, its CHECK before or after, one of them under a name of its own."""

    def declare(metadata: MetaData) -> object:
        columns: list[Column[Any]] = [Column("m", Enum("ok", "sad", name="mood"))]  # SQLAlchemy makes no domain's enum
        columns += [
            Column(f"c{number}", DOMAIN(f"d{number}", kind, check=checks[after]))
            for number, (kind, *checks) in enumerate(CHECKS)
        ]
        default = f"CASE WHEN lower('A')::varchar IN ('a', '{'bc'[after]}') THEN 'a' ELSE 'b' END"
        named = DOMAIN("Of Two", String(5), check=CHECKS[0][1 + after], constraint_name="known", default=text(default))
        return Table("u", metadata, Column("id", Integer, primary_key=True), *columns, Column("named", named))

    return declare


DOMAINS = {
    "CHECKs of domains changed": Change(several(table(), domains(0)), several(table(), domains(1))),
    "domains with CHECKs added": Change(table(), several(table(), domains(0))),
    "domains with CHECKs dropped": Change(several(table(), domains(1)), table()),
}
