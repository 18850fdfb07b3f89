"""Ask a database what it has applied, for advice on branches and for the number of a new migration."""

from dataclasses import replace
from datetime import timedelta

import psycopg

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import connect
from schema.errors import DatabaseUnavailable
from schema.migration.apply import ledger
from schema.migration.branches import Applied
from schema.migration.files import applied_revisions


def ask(owner: DatabaseUrl | None, settings: Settings) -> Applied | None:
    """Return what the owner's database has applied; None where there is none or it does not answer at once."""
    if owner is None:
        return None
    try:
        with connect(owner, replace(settings, database_connect_deadline=timedelta()), autocommit=True) as connection:
            place = f"database {owner.database!r} at {owner.host}:{owner.port}"
            return Applied(place, applied_revisions(connection), ledger.read(connection))
    except (DatabaseUnavailable, psycopg.Error):
        return None
