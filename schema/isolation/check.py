"""The isolation check: the catalogue of a database held to every rule, then attacks on a clone of its schema."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from infra.settings import CHECKOUT, AppEnv, Settings
from infra.urls import DatabaseUrl
from schema.connect import BoundedConnection, connect, unavailable
from schema.errors import IsolationError
from schema.isolation import probe
from schema.isolation.catalogue import Catalogue
from schema.isolation.declarations import Allowed, Declarations, sift
from schema.isolation.finding import Finding, judge
from schema.isolation.probe.factories import load_factories
from schema.isolation.reading import read
from schema.isolation.rules import RULES
from schema.shadow import shadow_database

_ON_CLONES = frozenset({"as-declared", "data-statement"})


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found; `unprobed` says why there were no attacks, None where there were."""

    database: str
    tables: int
    rules: int
    attacks: int
    unprobed: str | None
    findings: tuple[Finding, ...]
    allowed: tuple[Allowed, ...]

    def require(self) -> None:
        """Accept nothing but isolation.

        Raises:
            IsolationError: there are findings.
        """
        if self.findings:
            raise IsolationError(
                f"Tenants are not provably kept apart in {self.database}: {_counted(len(self.findings), 'finding')}. "
                "Make what the fix of each says, or allow it with a reason in pyproject.toml."
            )

    def __str__(self) -> str:
        if self.findings:
            return "\n".join(map(str, self.findings))
        attacks = f"no attacks ({self.unprobed})" if self.unprobed else _counted(self.attacks, "attack")
        return f"{_counted(self.tables, 'table')}, {_counted(self.rules, 'rule')}, {attacks}: isolated"


def check(
    owner: DatabaseUrl,
    user: DatabaseUrl | None,
    settings: Settings,
    say: Callable[[str], None] = lambda _: None,
    *,
    checkout: Path = CHECKOUT,
) -> Report:
    """Check the owner's database; nothing in it is changed.

    The attacks are made on what the checkout's migrations make in a database of their own, as the application's role
    (`user`). There are none in production, nor where the owner may not create databases or `user` is not known. That
    database also tells how PostgreSQL writes down what the models declare, which the owner's is then compared with.

    Raises:
        ConfigError: pyproject.toml cannot be read, or names a factory that cannot be imported.
        DatabaseUnavailable: the server is away, goes away, or refuses a role.
        IsolationError: the catalogue cannot be read, or the attacks cannot be made.
        MigrationError: the migrations cannot be applied to the clone.
    """
    declared = Declarations.load(checkout / "pyproject.toml")
    with connect(owner, settings) as connection:
        say(f"reading the catalogue of {owner.database}")
        catalogue = _read(connection, owner)
        unprobed = _why_unprobed(connection, user, settings)
    findings, attacks, rules = [*judge(catalogue, RULES)], 0, len(RULES)
    if user is not None and unprobed is None:
        probed = _probe(owner, user, settings, declared=declared, say=say, checkout=checkout)
        findings, attacks, rules = [*findings, *probed.findings], probed.attacks, rules + len(_ON_CLONES)
    sifted = sift(findings, declared.allowed, unjudged=probe.RULES | _ON_CLONES if unprobed else ())
    tables = len(catalogue.reachable_tables)
    return Report(str(owner), tables, rules, attacks, unprobed, sifted.findings, sifted.used)


def _read(connection: BoundedConnection, owner: DatabaseUrl) -> Catalogue:
    try:
        return read(connection)
    except psycopg.OperationalError as error:
        raise unavailable(owner, error, lost=True) from error
    except psycopg.Error as error:
        raise IsolationError(
            f"The catalogue of {owner} cannot be read: {error.diag.message_primary or error} ({error.sqlstate}). "
            "Check as the database's owner, on a server that takes writes: a temporary table is made and taken back."
        ) from error


def _why_unprobed(connection: BoundedConnection, user: DatabaseUrl | None, settings: Settings) -> str | None:
    if settings.app_env is AppEnv.PRODUCTION:
        return "production has no clones"
    if user is None:
        return "DATABASE_URL is not set, so the application's role is not known"
    question = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
    if connection.execute(question).fetchone() != (True,):
        return f"{connection.info.user} may not create a database for a clone"
    return None


def _probe(
    owner: DatabaseUrl,
    user: DatabaseUrl,
    settings: Settings,
    *,
    declared: Declarations,
    say: Callable[[str], None],
    checkout: Path,
) -> probe.Probed:
    # Alembic and SQLAlchemy, which the catalogue alone does not need
    from schema.applying.changing import Manner
    from schema.applying.guard import Guard
    from schema.applying.upgrade import upgrade
    from schema.engine import owner_engine
    from schema.isolation.drift import drift, lint

    factories = load_factories(declared.factories)
    say("making a clone")
    with shadow_database(owner, settings) as clone:
        upgrade(clone, settings, checkout=checkout, manner=Manner(guard=Guard(i_mean=clone.database)))
        with owner_engine(owner, settings).connect() as here, owner_engine(clone, settings).connect() as there:
            found = [*drift(here, there), *lint(checkout)]
        probed = probe.probe(clone, user.on(clone.database), settings, factories, say)
        return replace(probed, findings=(*found, *probed.findings))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
