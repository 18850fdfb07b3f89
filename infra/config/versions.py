"""Which servers the product may stand on."""

POSTGRES_VERSIONS = (16, 17, 18)
"""The major versions of PostgreSQL that the tests run on."""


def listed(versions: tuple[int, ...]) -> str:
    """Return versions as a sentence names them, such as "16, 17 and 18"."""
    *before, last = map(str, versions)
    return f"{', '.join(before)} and {last}" if before else last
