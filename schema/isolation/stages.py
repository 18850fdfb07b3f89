"""The stages of the isolation check: what each looks at, and what of it fails without hiding what another found.

A stage yields its findings as it comes upon them. Whatever it raises, a fault of its own too, ends it alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from infra.config.settings import AppEnv, Role, Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect, unavailable
from schema.errors import IsolationError
from schema.isolation import probe
from schema.isolation.declarations import Declarations
from schema.isolation.facts import Catalogue
from schema.isolation.finding import Finding, judge
from schema.isolation.probe.factories import load_factories
from schema.isolation.reading import read
from schema.isolation.report import Stage, StageResult, attempt
from schema.isolation.rules import RULES

if TYPE_CHECKING:
    from schema.migration.files import Migrations

_NO_CATALOGUE = "the catalogue could not be read"
_NO_MIGRATIONS = "the migrations cannot be read"
_NO_USER = "DATABASE_URL is not set, so the application's role is not known"


@dataclass(slots=True)
class Stages:
    """One run of the stages on the owner's database; what of them counts is kept for the report."""

    owner: DatabaseUrl
    user: DatabaseUrl | None
    settings: Settings
    declared: Declarations
    say: Callable[[str], None]
    checkout: Path
    tables: int = 0
    attacks: int = 0
    _no_clone: str = _NO_CATALOGUE
    _migrations: "Migrations | None" = field(default=None)

    def run(self) -> tuple[StageResult, ...]:
        """Look at everything that can be looked at, whatever fails."""
        catalogue = attempt(Stage.CATALOGUE, self._catalogue)
        migrations = attempt(Stage.MIGRATIONS, self._lint)
        return (catalogue, migrations, *self._on_a_clone())

    def _catalogue(self) -> Iterator[Finding]:
        with connect(self.owner, self.settings) as connection:
            self.say(f"reading the catalogue of {self.owner.database}")
            catalogue = self._read(connection)
            self._no_clone = _why_no_clone(connection, self.settings)
        self.tables = len(catalogue.reachable_tables)
        yield from judge(catalogue, RULES)

    def _read(self, connection: BoundedConnection) -> Catalogue:
        try:
            return read(connection, self.user.user if self.user else str(Role.USER))
        except psycopg.OperationalError as error:
            raise unavailable(self.owner, error, lost=True) from error
        except psycopg.Error as error:
            raise IsolationError(
                f"The catalogue of {self.owner} cannot be read: {error.diag.message_primary or error} "
                f"({error.sqlstate}). Check as the database's owner, on a server that takes writes: a temporary table "
                "is made and taken back.",
                sqlstate=error.sqlstate,
            ) from error

    def _lint(self) -> Iterator[Finding]:
        # Alembic and SQLAlchemy, which the catalogue alone does not need
        from schema.migration.apply.applied import ask
        from schema.migration.files import Migrations
        from schema.migration.models import load_models

        self._migrations = Migrations.load(self.checkout, lambda: ask(self.owner, self.settings))
        load_models()  # what is wrong with one is explained here
        from schema.isolation.drift import lint

        yield from lint(self._migrations)

    def _on_a_clone(self) -> tuple[StageResult, StageResult]:
        """Compare the models with the database, and attack what the migrations make."""
        omitted = self._no_clone or ("" if self._migrations else _NO_MIGRATIONS)
        if omitted:
            return StageResult(Stage.MODELS, omitted=omitted), StageResult(Stage.ATTACKS, omitted=omitted)
        done: dict[Stage, StageResult] = {}
        try:
            with self._clone() as clone:
                done[Stage.MODELS] = attempt(Stage.MODELS, lambda: self._compare(clone))
                done[Stage.ATTACKS] = self._attack(clone)
        except Exception as error:
            return _or_failed(done, Stage.MODELS, error), _or_failed(done, Stage.ATTACKS, error)
        return done[Stage.MODELS], done[Stage.ATTACKS]

    @contextmanager
    def _clone(self) -> Iterator[DatabaseUrl]:
        from schema.migration.apply.guard import Guard
        from schema.migration.apply.session import RunOptions
        from schema.migration.apply.upgrade import upgrade
        from schema.migration.shadow import shadow_database

        self.say("making a clone")
        with _explained(self.owner, "A clone"), shadow_database(self.owner, self.settings) as clone:
            run_options = RunOptions(guard=Guard(confirm_database=clone.database))
            upgrade(clone, self.settings, checkout=self.checkout, run_options=run_options)
            yield clone

    def _compare(self, clone: DatabaseUrl) -> Iterator[Finding]:
        from schema.migration.engine import owner_engine
        from schema.migration.files import explained
        from schema.migration.models import load_models

        load_models()
        from schema.isolation.drift import drift
        from schema.isolation.system import system_changes

        here, there = owner_engine(self.owner, self.settings), owner_engine(clone, self.settings)
        with (
            explained(lambda reason: f"The models cannot be compared with {self.owner}: {reason}"),
            here.connect() as database,
            there.connect() as scratch,
        ):
            yield from system_changes(database, scratch)
            yield from drift(database, scratch)

    def _attack(self, clone: DatabaseUrl) -> StageResult:
        if self.user is None:
            return StageResult(Stage.ATTACKS, omitted=_NO_USER)
        try:
            factories = load_factories(self.declared.factories)
            probed = probe.probe(clone, self.user.on(clone.database), self.settings, factories, self.say)
        except Exception as error:
            return StageResult(Stage.ATTACKS, error=error)
        self.attacks = probed.attacks
        return StageResult(Stage.ATTACKS, probed.findings, error=probed.error)


def stage_of(rule: str) -> Stage:
    """Return the stage that looks for what breaks a rule; squawk's rules are not known by name."""
    if rule in probe.RULES:
        return Stage.ATTACKS
    if rule in _OF_CATALOGUE:
        return Stage.CATALOGUE
    return Stage.MODELS if rule in _OF_MODELS else Stage.MIGRATIONS


_OF_MODELS = {"as-declared", "system-changed"}
_OF_CATALOGUE = {rule.__name__.replace("_", "-") for rule in RULES}


def _why_no_clone(connection: BoundedConnection, settings: Settings) -> str:
    if settings.app_env is AppEnv.PRODUCTION:
        return "production has no clones"
    question = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
    if connection.execute(question).fetchone() != (True,):
        return f"{connection.info.user} may not create a database for a clone"
    return ""


def _or_failed(done: dict[Stage, StageResult], stage: Stage, error: Exception) -> StageResult:
    return done.get(stage) or StageResult(stage, error=error)


@contextmanager
def _explained(owner: DatabaseUrl, subject: str) -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        raise unavailable(owner, error, lost=True) from error
    except psycopg.Error as error:
        reason = error.diag.message_primary or str(error)
        raise IsolationError(
            f"{subject} of {owner} could not be made: {reason} ({error.sqlstate}). See to that and run the command "
            "again.",
            sqlstate=error.sqlstate,
        ) from error
