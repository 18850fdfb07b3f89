"""What the database, its schema of functions and its roles can be called."""

import re

LONGEST = 26
"""In characters: with it, the longest name that is made of it has the 63 bytes of an identifier (PostgreSQL manual,
4.1.1), that of a template database."""
NAMES = f"lower-case letters, digits and underscores, a letter first, at most {LONGEST}"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN = {"information_schema", "postgres", "public", "template0", "template1"}
# Which words PostgreSQL 16 to 18 quote where they are names: all but those that are plain non-reserved (manual,
# appendix C). A test compares them with those that a server knows.
_WORDS = """
all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case
cast char character check coalesce collate collation column concurrently constraint create cross
current_catalog current_date current_role current_schema current_time current_timestamp current_user dec
decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign
freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect
interval into is isnull join json json_array json_arrayagg json_exists json_object json_objectagg json_query
json_scalar json_serialize json_table json_value lateral leading least left like limit localtime
localtimestamp merge_action national natural nchar none normalize not notnull null nullif numeric offset on
only or order out outer overlaps overlay placing position precision primary real references returning right
row select session_user setof similar smallint some substring symmetric system_user table tablesample then
time timestamp to trailing treat trim true union unique user using values varchar variadic verbose when where
window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot
xmlserialize xmltable
"""
KEYWORDS = frozenset(_WORDS.split())


def why_no_name(name: str) -> str:
    """Return why database, roles and schema cannot be called by a name; nothing where they can."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        return "is not a name for a database, a schema and the beginning of roles' names"
    if name in _TAKEN or name.startswith("pg_"):
        return "is PostgreSQL's own"
    if name.startswith("groundwork_"):
        return "begins as the names of databases that are thrown away"
    return "is a word of SQL, which would have to be quoted everywhere" if name in KEYWORDS else ""
