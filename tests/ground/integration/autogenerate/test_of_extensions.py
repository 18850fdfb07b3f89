"""What an extension made is the extension's: no model declares it, and no migration drops or changes it.

The kind: PostGIS's table spatial_ref_sys, which autogenerate of other tools drops.
"""

from collections.abc import Iterator

import pytest
from sqlalchemy import Text

from schema.client.connection import BoundedConnection, connect
from tests.ground.integration.autogenerate.changes import column, declared, several, table
from tests.kit.cases import Cases
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

MEMBERS = {
    "TABLE rates": "CREATE TABLE rates (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,"
    " rate numeric DEFAULT 1 CHECK (rate > 0)) WITH (fillfactor = 70);"
    " CREATE INDEX rates_rate ON rates (rate); ALTER TABLE rates ENABLE ROW LEVEL SECURITY;"
    " CREATE POLICY everything ON rates USING (true); GRANT SELECT ON rates TO PUBLIC;"
    " COMMENT ON TABLE rates IS 'of the extension'",
    "VIEW current_rates": "CREATE VIEW current_rates AS SELECT * FROM rates",
    "MATERIALIZED VIEW old_rates": "CREATE MATERIALIZED VIEW old_rates AS SELECT * FROM rates",
    "SEQUENCE rate_numbers": "CREATE SEQUENCE rate_numbers",
    "TYPE rate_kind": "CREATE TYPE rate_kind AS ENUM ('fixed', 'floating')",
    "DOMAIN cents": "CREATE DOMAIN cents AS bigint CHECK (VALUE >= 0)",
}


@pytest.fixture
def extended(cases: Cases, stack: RunningStack) -> Iterator[Cases]:
    """Give a database in which an extension has a member of each kind."""
    database = str(cases.ask("SELECT current_database()")[0][0])
    with connect(stack.admin.on(database), stack.settings, autocommit=True) as superuser:
        for name, statement in MEMBERS.items():
            _run(superuser, statement, f"ALTER EXTENSION plpgsql ADD {name}")
        yield cases
        cases.connection.rollback()
        for name in reversed(MEMBERS):
            _run(superuser, f"ALTER EXTENSION plpgsql DROP {name}", f"DROP {name}")


def _run(superuser: BoundedConnection, *statements: str) -> None:
    for statement in statements:
        superuser.execute(statement.encode())


def test_nothing_of_an_extension_is_dropped_or_changed(extended: Cases) -> None:
    """With and without tables of the product beside it, nothing is left to write for it."""
    assert extended.generate(declared(several())).is_empty
    notes = declared(table(column("text", Text)))
    written = extended.generate(notes)
    assert "rates" not in written.upgrade + written.downgrade
    extended.run(written.upgrade)
    assert extended.generate(notes).is_empty
    extended.run(written.downgrade)
