"""Write the migration from what the migrations make to what the models declare."""

import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, cast

from alembic import command
from alembic.operations.ops import DowngradeOps, MigrationScript, UpgradeOps
from alembic.script import Script
from sqlalchemy import Connection, MetaData
from sqlalchemy.exc import DataError, NotSupportedError, ProgrammingError, SAWarning

from infra.config.files import write_atomically
from schema.errors import MigrationError, SchemaError
from schema.migration.branches import Applied
from schema.migration.diff.catalog import read_enums
from schema.migration.diff.column_changes import Statements
from schema.migration.diff.declared import declared_enums
from schema.migration.diff.refused import refused_parts
from schema.migration.diff.renamed_types import renamed_types
from schema.migration.diff.rls.catalog import run_script
from schema.migration.diff.rls.operations import CommittedSql, LiteralSql
from schema.migration.files import Migrations, explained, whole_file
from schema.migration.generate.literals import plain_literals
from schema.migration.generate.reasons import with_reasons
from schema.migration.generate.rehearsal import rehearse
from schema.migration.generate.renames import Rename, carry_out, lookalikes
from schema.migration.generate.request import Request
from schema.migration.generate.review import drops, pending, unconfirmed_drops, unsaid_renames

__all__ = ["Generation", "Request"]

_REFLECTED = "Can't validate argument '(dialect_options|no_inherit|not_valid)'"


class _NeedsConfirmation(SchemaError):
    """A rename that somebody is asked about; it passes through what explains failures."""

    def __init__(self, found: tuple[Rename, ...]) -> None:
        super().__init__("somebody is to be asked")
        self.found = found


@dataclass
class Generation:
    """One run of `generate` in a shadow database that holds what the migrations make.

    `applied` asks the database that the migration is for, whose numbers are not taken again.
    """

    migrations: Migrations
    connection: Connection
    metadata: MetaData
    request: Request
    _renamed: list[Statements] = field(default_factory=list)
    _denied: set[Rename] = field(default_factory=set)
    _revision: str = ""
    applied: Callable[[], Applied | None] = lambda: None

    def run(self) -> Path | None:
        """Write the file, or return None where nothing changed.

        Raises:
            MigrationError: something is dropped, or may have been renamed, and nobody said so; with `check`, something
                is pending.
        """
        said = (text.strip() for said in self.request.renames for text in said.split(","))
        self._rename([Rename.parse(text) for text in said if text])
        self._rename_types()
        while True:
            try:
                return self._write()
            except _NeedsConfirmation as unsaid:
                self._ask(unsaid.found)
            except MigrationError as error:
                raise self._with_its_place(error) from error.__cause__

    def _with_its_place(self, error: MigrationError) -> MigrationError:
        """Return an error that names the parts of the models which the server refuses, where it is about such."""
        if not isinstance(error.__cause__, ProgrammingError | DataError | NotSupportedError):
            return error
        self.connection.rollback()
        return refused_parts(self.connection, self.metadata) or error

    def _rename(self, renames: Iterable[Rename]) -> None:
        for rename in renames:
            self._renamed.append(carry_out(self.connection, rename, self.metadata))
        self.connection.commit()

    def _rename_types(self) -> None:
        declared = declared_enums(self.metadata.tables.values())
        for renamed in renamed_types(read_enums(self.connection), declared):
            run_script(self.connection, renamed.upgrade)
            self._renamed.append(renamed)
        self.connection.commit()

    def _ask(self, found: tuple[Rename, ...]) -> None:
        first = found[0]
        if self.request.ask is not None and self.request.ask(f"Is {first.new} the former {first.old}, renamed?"):
            self._rename([first])
        else:
            self._denied.add(first)

    def _write(self) -> Path | None:
        """Write the file and try it; where that fails, or is interrupted, there is none."""
        title = self.request.title
        with (
            explained(lambda reason: f"The migration {title!r} could not be written: {reason}. Nothing was written."),
            whole_file(self.migrations.scripts, title, lambda: self._revision),
        ):
            script = self._compared()
            if not isinstance(script, Script):
                return None
            rehearse(self.connection, script, (undone for rename in self._renamed[::-1] for undone in rename.downgrade))
            path = Path(script.path)
            source = path.read_text(encoding="utf-8")
            if (written := plain_literals(with_reasons(source, drops=self.request.allow_drop))) != source:
                write_atomically(path, written)
            return path

    def _compared(self) -> object:
        """Have Alembic compare and write; return the new migration, or another thing where nothing has changed."""
        config = self.migrations.config
        config.attributes.update(connection=self.connection, metadata=self.metadata)
        self._revision = self.migrations.next_revision
        with (
            redirect_stdout(StringIO()),  # where Alembic tells that it runs what formats the file
            warnings.catch_warnings(),
        ):
            # SQLAlchemy does not know what it has reflected itself of a CHECK that is not valid or not inherited.
            warnings.filterwarnings("ignore", _REFLECTED, SAWarning)
            return command.revision(
                config,
                self.request.title,
                autogenerate=True,
                rev_id=self._revision,
                process_revision_directives=self._judge,
            )

    def _judge(self, _context: Any, _revision: Any, directives: list[MigrationScript]) -> None:
        upgrade, downgrade = (
            cast(UpgradeOps, directives[0].upgrade_ops),
            cast(DowngradeOps, directives[0].downgrade_ops),
        )
        if upgrade.is_empty() and not self._renamed:
            directives.clear()
            return
        if self.request.check:
            raise pending([*(LiteralSql(rename.upgrade, rename.downgrade) for rename in self._renamed), *upgrade.ops])
        self._refuse_unsaid(upgrade)
        for op in upgrade.ops:
            if isinstance(op, LiteralSql) and op.narrows:
                self.request.say(op.narrows)
        self._put_renames(upgrade, downgrade)
        if applied := self.applied():
            directives[0].rev_id = self._revision = self.migrations.next_above(applied.last_number)

    def _refuse_unsaid(self, upgrade: UpgradeOps) -> None:
        if self.request.allow_drop:
            return
        alike = tuple(
            lookalike for lookalike in lookalikes(upgrade.ops, self.connection.dialect) if lookalike not in self._denied
        )
        if alike and self.request.ask is not None:
            raise _NeedsConfirmation(alike)
        if alike:
            raise unsaid_renames(alike, self.request.command)
        if found := list(drops(upgrade.ops)):
            raise unconfirmed_drops(found, self.request.command)

    def _put_renames(self, upgrade: UpgradeOps, downgrade: DowngradeOps) -> None:
        """Rename before all else but what is committed by itself; names go back last of all."""
        renamed = [LiteralSql(rename.upgrade, rename.downgrade) for rename in self._renamed]
        committed = [op for op in upgrade.ops if isinstance(op, CommittedSql)]
        upgrade.ops[:] = [*committed, *renamed, *(op for op in upgrade.ops if op not in committed)]
        downgrade.ops.extend(op.reverse() for op in reversed(renamed))
