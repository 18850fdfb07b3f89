"""Names and strings as SQL text, for statements that take no parameters."""


def quote(identifier: str) -> str:
    """Return a quoted identifier (PostgreSQL manual, 4.1.1)."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a string constant (PostgreSQL manual, 4.1.2.1), for servers with standard_conforming_strings = on."""
    return "'" + text.replace("'", "''") + "'"
