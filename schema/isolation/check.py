"""The isolation check: the catalogue of a database held to every rule, then attacks on a clone of its schema."""

from collections.abc import Callable
from pathlib import Path

from infra.config.settings import CHECKOUT, Settings
from infra.config.urls import DatabaseUrl
from schema.isolation.declarations import Declarations, sift
from schema.isolation.report import Report, Stage
from schema.isolation.rules import RULES
from schema.isolation.stages import Stages, stage_of
from schema.migration.written_name import require_written_name

_ON_OTHERS = {Stage.MIGRATIONS: 1, Stage.MODELS: 2}
"""How many rules there are beside those on the catalogue; squawk's own are not counted."""


def check(
    owner: DatabaseUrl,
    user: DatabaseUrl | None,
    settings: Settings,
    say: Callable[[str], None] = lambda _: None,
    *,
    checkout: Path = CHECKOUT,
) -> Report:
    """Check the owner's database; nothing in it is changed.

    The migrations' files are read. The attacks are made on what the checkout's migrations make in a database of their
    own, as the application's role (`user`). That database also tells how PostgreSQL writes down what the models
    declare, which the owner's is then compared with. There is none in production, nor where the owner may not create
    databases; without `user` there are no attacks. What fails is in the report, beside what the others found.

    Raises:
        ConfigError: pyproject.toml cannot be read, or has another name than the migrations are written for.
    """
    require_written_name(checkout)
    declared = Declarations.load(checkout / "pyproject.toml")
    stages = Stages(owner, user, settings, declared, say, checkout)
    results = stages.run()
    complete = {result.stage for result in results if result.is_complete}
    unjudged = {entry.rule for entry in declared.allowed if stage_of(entry.rule) not in complete}
    findings = [finding for result in results for finding in result.findings]
    sifted = sift(findings, declared.allowed, unjudged=unjudged)
    rules = len(RULES) * (Stage.CATALOGUE in complete) + sum(_ON_OTHERS.get(stage, 0) for stage in complete)
    return Report(str(owner), stages.tables, rules, stages.attacks, results, sifted.findings, sifted.used)
