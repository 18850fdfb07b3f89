"""What of a tenant is written to a file. Standard library only, so that anyone may say it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Export:
    """Tables of schema public, and how their rows are read and come back.

    `before` and `after` are statements around the rows, `sequences` those of the tables, whose values stay out.
    `snapshot` is one that a transaction exported (PostgreSQL manual, 9.28.5): the rows are those that it sees.
    """

    tables: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()
    snapshot: str = ""
