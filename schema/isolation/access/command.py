"""What `invoke access` reads: the matrix of a database, and one that a file has kept."""

from pathlib import Path

import psycopg

from infra.config.errors import ConfigError
from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import connect, unavailable
from schema.isolation.access.matrix import Matrix
from schema.isolation.access.reading import read_matrix
from schema.isolation.access.written import load


def matrix_of(url: DatabaseUrl, settings: Settings) -> Matrix:
    """Return the access matrix of a database; any role on it may ask.

    Raises:
        DatabaseUnavailable: the server is away, goes away, or refuses the role.
    """
    with connect(url, settings) as connection:
        try:
            return read_matrix(connection)
        except psycopg.OperationalError as error:
            raise unavailable(url, error, lost=True) from error


def read_file(path: Path) -> Matrix:
    """Read a matrix that `invoke access --json` has printed.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    try:
        return load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{path} holds no access matrix: {reason}. Make one with `invoke access --json > {path}`.", file=path
        ) from None
