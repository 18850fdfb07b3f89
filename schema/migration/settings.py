"""Server settings that change what a statement means: the same for every migration, whoever runs it from where.

libpq reads PGTZ, PGDATESTYLE and PGOPTIONS, and a role or a database may have settings of its own. With another time
zone the same conversion stores other instants; with another search path the same name is another table.
"""

from typing import Any

import psycopg

# PostgreSQL's own defaults (manual, 20.11 and 20.13), and UTC, as the stack's servers have it.
SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "xmloption": "content",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "row_security": "on",
}
# What a role's own path adds, such as a schema of extensions, is searched after `public`, where tables are made.
_SEARCH_PATH = "SELECT pg_catalog.set_config('search_path', 'public, ' || current_setting('search_path'), false)"


def statements() -> tuple[str, ...]:
    """Return the statements that set all of it for a session."""
    return (*(f"SET {name} = '{value}'" for name, value in SETTINGS.items()), _SEARCH_PATH)


def pin(connection: "psycopg.Connection[Any]") -> None:
    """Set all of it for a connection that has just been made."""
    connection.execute("; ".join(statements()).encode())
    if not connection.autocommit:
        connection.commit()
