"""Write the migration from what the migrations make to what the models declare."""

from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, cast

from alembic import command
from alembic.operations.ops import DowngradeOps, MigrationScript, UpgradeOps
from alembic.script import Script
from sqlalchemy import Connection, MetaData

from schema.autogenerate.changes import Statements
from schema.autogenerate.judging import drops, pending, unsaid_drops, unsaid_renames
from schema.autogenerate.renames import Rename, carry_out, lookalikes
from schema.autogenerate.request import Request
from schema.errors import SchemaError
from schema.revisions import Migrations, explained
from schema.rls.ops import CommittedSql, LiteralSql

__all__ = ["Generation", "Request"]


class _Unsaid(SchemaError):
    """A rename that somebody is asked about; it passes through what explains failures."""

    def __init__(self, found: tuple[Rename, ...]) -> None:
        super().__init__()
        self.found = found


@dataclass
class Generation:
    """One run of `generate` in a shadow database that holds what the migrations make."""

    migrations: Migrations
    connection: Connection
    metadata: MetaData
    request: Request
    _renamed: list[Statements] = field(default_factory=list)
    _denied: set[Rename] = field(default_factory=set)

    def run(self) -> Path | None:
        """Write the file, or return None where nothing changed.

        Raises:
            MigrationError: something is dropped, or may have been renamed, and nobody said so; with `check`, something
                is pending.
        """
        said = (one.strip() for said in self.request.renames for one in said.split(","))
        self._rename([Rename.parse(one) for one in said if one])
        while True:
            try:
                return self._write()
            except _Unsaid as unsaid:
                self._ask(unsaid.found)

    def _rename(self, renames: Iterable[Rename]) -> None:
        for rename in renames:
            self._renamed.append(carry_out(self.connection, rename, self.metadata))
        self.connection.commit()

    def _ask(self, found: tuple[Rename, ...]) -> None:
        first = found[0]
        if self.request.ask is not None and self.request.ask(f"Is {first.new} the former {first.old}, renamed?"):
            self._rename([first])
        else:
            self._denied.add(first)

    def _write(self) -> Path | None:
        config = self.migrations.config
        config.attributes.update(connection=self.connection, metadata=self.metadata)
        with (
            explained(lambda reason: f"The migration {self.request.title!r} could not be written: {reason}"),
            redirect_stdout(StringIO()),  # where Alembic tells that it runs what formats the file
        ):
            script = command.revision(
                config,
                self.request.title,
                autogenerate=True,
                rev_id=self.migrations.next_revision,
                process_revision_directives=self._judge,
            )
        return Path(script.path) if isinstance(script, Script) else None

    def _judge(self, _context: Any, _revision: Any, directives: list[MigrationScript]) -> None:
        upgrade, downgrade = (
            cast(UpgradeOps, directives[0].upgrade_ops),
            cast(DowngradeOps, directives[0].downgrade_ops),
        )
        if upgrade.is_empty() and not self._renamed:
            directives.clear()
            return
        if self.request.check:
            raise pending(upgrade.ops)
        self._refuse_unsaid(upgrade)
        self._put_renames(upgrade, downgrade)

    def _refuse_unsaid(self, upgrade: UpgradeOps) -> None:
        if self.request.allow_drop:
            return
        alike = tuple(one for one in lookalikes(upgrade.ops, self.connection.dialect) if one not in self._denied)
        if alike and self.request.ask is not None:
            raise _Unsaid(alike)
        if alike:
            raise unsaid_renames(alike, self.request.command)
        if found := list(drops(upgrade.ops)):
            raise unsaid_drops(found, self.request.command)

    def _put_renames(self, upgrade: UpgradeOps, downgrade: DowngradeOps) -> None:
        """Rename before all else but what is committed by itself; names go back last of all."""
        renamed = [LiteralSql(one.upgrade, one.downgrade) for one in self._renamed]
        committed = [one for one in upgrade.ops if isinstance(one, CommittedSql)]
        upgrade.ops[:] = [*committed, *renamed, *(one for one in upgrade.ops if one not in committed)]
        downgrade.ops.extend(one.reverse() for one in reversed(renamed))
