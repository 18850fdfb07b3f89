"""Take back what was applied last."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import Script
from alembic.util import to_tuple

from infra.config.settings import CHECKOUT, Settings
from infra.config.urls import DatabaseUrl
from schema.errors import MigrationError
from schema.migration.apply.guard import KEEP_DATA
from schema.migration.apply.plan import planned
from schema.migration.apply.run import Step
from schema.migration.apply.session import MigrationSession, RunOptions, changing, place_of
from schema.migration.files import Migrations


def rollback(
    owner: DatabaseUrl,
    settings: Settings,
    steps: int = 1,
    *,
    checkout: Path = CHECKOUT,
    run_options: RunOptions | None = None,
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
    with changing(owner, settings, checkout, run_options) as change:
        change.require_known()
        scripts = _last(change, steps)
        rules = change.rules if allow_data_loss else (*change.rules, KEEP_DATA)
        change.refuse(planned(scripts, "downgrade"), rules)
        return change.run(scripts, rules, lambda: _downgrade(change.migrations, scripts))


def _last(change: MigrationSession, steps: int) -> list[Script]:
    applied = change.migrations.up_to(change.at)[::-1]
    if not 0 < steps <= len(applied):
        raise MigrationError(
            f"{steps} migrations cannot be taken back: {place_of(change.owner)} has {len(applied)} applied."
        )
    return applied[:steps]


def _downgrade(migrations: Migrations, scripts: Sequence[Script]) -> None:
    """Take back those of these migrations that are applied, as `alembic downgrade` does to one revision.

    No one revision stands before a migration that joins branches, so that what goes is said and not where to: behind
    it the database is at the end of each branch.
    """

    def steps(at: Any, _: MigrationContext) -> list[RevisionStep]:
        applied = migrations.up_to(at)
        downgrade = MigrationStep.downgrade_from_script
        return [downgrade(migrations.scripts.revision_map, script) for script in scripts if script in applied]

    target = to_tuple(scripts[-1].down_revision, default=("base",))[0]
    with EnvironmentContext(migrations.config, migrations.scripts, fn=steps, destination_rev=target):
        migrations.scripts.run_env()
