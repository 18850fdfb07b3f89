import pytest

from infra.config.settings import CHECKOUT
from schema.migration.lint.data_statements import silent_data_statements

TENANT_TABLES = {"users", "tenants", "order items"}


def linted(body: str) -> list[tuple[int, str]]:
    """Return what is found in an upgrade's body, with lines of the body."""
    source = "def upgrade():\n" + "".join(f"    {line}\n" for line in body.splitlines())
    return [(found.line - 1, found.table) for found in silent_data_statements(source, TENANT_TABLES)]


@pytest.mark.parametrize(
    "body",
    [
        "op.execute('UPDATE users SET role = 1')",
        "op.execute('update only public.users set role = 1')",
        "op.execute('INSERT INTO\\n  \"users\" VALUES (1)')",
        "op.execute('DELETE ' 'FROM Users')",
        "op.execute('MERGE INTO users USING x ON true WHEN MATCHED THEN DELETE')",
        "op.execute('WITH gone AS (DELETE FROM users RETURNING *) SELECT 1')",
        "op.execute('DO $$ BEGIN UPDATE users SET role = 1; END $$')",
        "op.execute('CREATE TABLE x ();\\nUPDATE users SET role = 1')",
        "op.execute('/* a note */ UPDATE users SET role = 1')",
        "op.execute(f'UPDATE users SET role = {role}')",
        "op.execute(sa.text('UPDATE users SET role = 1'))",
        "op.get_bind().execute(text('UPDATE users SET role = 1'))",
        "connection.exec_driver_sql('UPDATE users SET role = 1')",
        "op.bulk_insert(sa.table('users', sa.column('id')), [])",
        "op.execute(sa.update(sa.table('users')).values(role=1))",
    ],
)
def test_a_statement_for_nobody_is_found(body: str) -> None:
    """However it is written, a change of a tenant table that names no tenant is found."""
    assert linted(body) == [(1, "users")]


def test_tables_are_found_by_the_name_they_were_given() -> None:
    """A table that the file declares is known where it is used, with the line of each use."""
    body = "users = sa.table('users')\nop.bulk_insert(users, [])\nop.execute(users.update().values(role=1))"
    assert linted(body) == [(2, "users"), (3, "users")]


def test_a_quoted_name_is_taken_as_it_is() -> None:
    """Quotes keep case and spaces."""
    assert linted("""op.execute('DELETE FROM "order items"')""") == [(1, "order items")]
    assert linted("""op.execute('DELETE FROM "Users"')""") == []


@pytest.mark.parametrize(
    "body",
    [
        "for_each_tenant(op.get_bind(), 'UPDATE users SET role = 1')",
        "with as_tenant(connection, tenant):\n    connection.execute(text('UPDATE users SET role = 1'))",
        "op.execute('UPDATE countries SET name = 1')",
        "op.execute('SELECT * FROM users FOR UPDATE OF users')",
        "op.execute('GRANT SELECT, INSERT, UPDATE, DELETE ON users TO app_user')",
        "op.execute('CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN DELETE FROM users; END $$')",
        "op.execute('CREATE TRIGGER t BEFORE UPDATE ON users EXECUTE FUNCTION f()')",
        "op.execute('-- UPDATE users SET role = 1')",
        "op.execute('UPDATE ' + name)",
        "say('UPDATE users SET role = 1')",
    ],
)
def test_what_names_a_tenant_or_changes_no_row_is_not(body: str) -> None:
    """Statements for each tenant, on other tables, and definitions are no finding."""
    assert linted(body) == []


def test_the_message_says_where_and_what_to_write() -> None:
    """A finding is one sentence with the line, the table and the way out."""
    [found] = silent_data_statements("op.execute('DELETE FROM users')", TENANT_TABLES)
    assert found.message == (
        "line 1: a data statement on tenant table 'users' names no tenant, so it touches no row. "
        "Run it through for_each_tenant, or inside as_tenant (schema.migration.helpers.tenants)."
    )


def test_the_projects_own_migrations_hold_none() -> None:
    """What `generate` writes is no data statement."""
    for path in (CHECKOUT / "migrations" / "versions").glob("*.py"):
        assert silent_data_statements(path.read_text(), {"users", "tenants", "tenant_features"}) == ()
