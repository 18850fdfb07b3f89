"""What a migration would send, without a server."""

from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Literal

from alembic.script import Script

from schema.migration.apply.destructive_sql import Loss, losses
from schema.migration.offline import offline

Direction = Literal["upgrade", "downgrade"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A migration that would run, and the SQL that it would send; None where that depends on what the database says."""

    script: Script
    sql: str | None

    @property
    def file(self) -> str:
        """The file's name."""
        return Path(self.script.path).name

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What it takes away, or may take away."""
        return losses(self.sql or "")


def planned(scripts: Iterable[Script], direction: Direction) -> list[Planned]:
    """Return what these migrations would do."""
    return [Planned(script, _sql(script, direction)) for script in scripts]


def _sql(script: Script, direction: Direction) -> str | None:
    buffer = StringIO()
    try:
        with offline(buffer, transactions=True):
            getattr(script.module, direction)()
    except Exception:
        # A migration is anybody's Python, and may fail in any way where there is no server.
        return None
    return buffer.getvalue()
