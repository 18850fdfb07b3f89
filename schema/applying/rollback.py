"""Take back what was applied last."""

from pathlib import Path

from alembic import command
from alembic.script import Script

from infra.settings import CHECKOUT, Settings
from infra.urls import DatabaseUrl
from schema.applying.changing import Changing, Manner, changing, place_of
from schema.applying.guard import KEEP_DATA
from schema.applying.offline import planned
from schema.applying.run import Step
from schema.errors import MigrationError


def rollback(
    owner: DatabaseUrl,
    settings: Settings,
    steps: int = 1,
    *,
    checkout: Path = CHECKOUT,
    manner: Manner | None = None,
    allow_data_loss: bool = False,
) -> tuple[Step, ...]:
    """Take back the last `steps` migrations, the newest first; return them.

    Each downgrade is first read without running it, and what it would drop, truncate or delete is looked for in the
    database. Where there is data, all of it is refused before anything was done. What cannot be read beforehand is held
    back when it is about to be sent, and that migration is rolled back.

    Raises:
        DatabaseUnavailable: the server is away, goes away, or refuses the owner.
        MigrationError: fewer are applied, they do not fit this checkout, data would be lost, or a downgrade fails.
        MigrationInterrupted: a signal ended it.
    """
    with changing(owner, settings, checkout, manner) as change:
        change.require_known()
        scripts = _last(change, steps)
        rules = change.rules if allow_data_loss else (*change.rules, KEEP_DATA)
        change.refuse(planned(scripts, "downgrade"), rules)
        target = str(scripts[-1].down_revision or "base")
        return change.run(scripts, rules, lambda: command.downgrade(change.migrations.config, target))


def _last(change: Changing, steps: int) -> list[Script]:
    applied = change.migrations.up_to(change.at)[::-1]
    if not 0 < steps <= len(applied):
        raise MigrationError(
            f"{steps} migrations cannot be taken back: {place_of(change.owner)} has {len(applied)} applied."
        )
    for script in applied[:steps]:
        if isinstance(script.down_revision, tuple):
            raise MigrationError(
                f"{Path(script.path).name} joins {' and '.join(script.down_revision)}, so there is no one revision "
                "before it. Say which with `alembic downgrade`."
            )
    return applied[:steps]
