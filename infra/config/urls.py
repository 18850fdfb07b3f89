"""Database URLs: read strictly, never shown with their password.

The grammar is libpq's (PostgreSQL manual, 34.1.1.2 Connection URIs), limited to one host over TCP.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from infra.config.secret import Secret

SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20})?")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where a database is and who connects; `str` hides the password."""

    user: str
    password: Secret
    host: str
    port: int
    database: str
    query: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "DatabaseUrl":
        """Read `postgresql://user:password@host:port/database?option=value`.

        Raises:
            ValueError: what is wrong with the text, without repeating it.
        """
        scheme, separator, rest = text.partition("://")
        if not separator:
            raise ValueError("it has no scheme; it starts with postgresql://")
        if scheme not in SCHEMES:
            # A scheme is short and plain (RFC 3986, 3.1); what is not may be a password that lost its beginning.
            shown = f"the scheme {scheme!r} is not PostgreSQL's" if _SCHEME.fullmatch(scheme) else "its scheme is none"
            raise ValueError(f"{shown}; it starts with postgresql://")
        if any(c.isspace() for c in text) or _BROKEN_ESCAPE.search(rest):
            raise ValueError("it holds a space or a bare %; percent-encode what is special in user and password")
        if rest.partition("/")[0].count("@") > 1 or rest.count("@") > 1:
            raise ValueError("it holds more than one @; write %40 for an @ in user or password")
        try:
            parts = urlsplit(f"postgresql://{rest}")
            port = parts.port or 5432
        except ValueError:
            raise ValueError(
                "host and port cannot be read; percent-encode what is special in user and password"
            ) from None
        database = parts.path.removeprefix("/")
        if not (parts.username and parts.hostname and database) or "/" in database or parts.fragment:
            raise ValueError("it must name user, host and database: postgresql://user:password@host:port/database")
        return cls(
            user=unquote(parts.username),
            password=Secret(unquote(parts.password or "")),
            host=parts.hostname,
            port=port,
            database=unquote(database),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        )

    def on(self, database: str) -> "DatabaseUrl":
        """Return the URL of another database on the same server, for the same user."""
        return replace(self, database=database)

    def libpq(self) -> str:
        """Return the URL with its password, for libpq and psycopg."""
        return self._render(f":{quote(self.password.reveal(), safe='')}" if self.password else "")

    def __str__(self) -> str:
        return self._render("")

    def _render(self, password: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        query = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in self.query.items())
        return (
            f"postgresql://{quote(self.user, safe='')}{password}@{host}:{self.port}/{quote(self.database, safe='')}"
            + (f"?{query}" if query else "")
        )
