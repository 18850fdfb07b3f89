"""Which error it was: by its class and what it carries, not by its words."""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg


@dataclass(frozen=True)
class _About:
    """Is called by pytest with an error; its text is what pytest shows where the error is another."""

    facts: Mapping[str, object]

    def __call__(self, error: BaseException) -> bool:
        original = getattr(error, "orig", error)
        return all(_fact(original, name) == value for name, value in self.facts.items())


def about(**facts: object) -> _About:
    """Return a `check` for `pytest.raises`: the error has these attributes.

    Of one of the server's, also below SQLAlchemy's, that is `sqlstate`, and `constraint`, `table` or `column` where it
    names one.
    """
    return _About(facts)


def _fact(error: BaseException, name: str) -> object:
    if isinstance(error, psycopg.Error) and name != "sqlstate":
        return getattr(error.diag, f"{name}_name")
    return getattr(error, name)
