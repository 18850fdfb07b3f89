"""Which statements are taken for ones that lose data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.migration.apply.destructive_sql import Kind, Loss, losses, without_constants

CONVERT = "may convert values:"
CONVERTING = f"{CONVERT} a DO block with ALTER TABLE … TYPE"
IN_A_BLOCK = "may drop data: a DO block with"


@pytest.mark.parametrize(
    ("sql", "lost"),
    [
        ('DROP TABLE IF EXISTS users, "Old users".a CASCADE', ["drops table users", 'drops table "Old users".a']),
        ("ALTER TABLE ONLY p.u DROP COLUMN IF EXISTS a, DROP b", ["drops column p.u.a", "drops column p.u.b"]),
        ("TRUNCATE TABLE ONLY a, b; truncate c", ["truncates a", "truncates b", "truncates c"]),
        ("DELETE FROM ONLY a.b WHERE true", ["deletes from a.b"]),
        ("WITH gone AS (DELETE FROM a RETURNING 1) SELECT 1", ["deletes from a"]),
        ("MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE", ["deletes from a"]),
        ("DROP SCHEMA old", ["may drop data: DROP SCHEMA old"]),
        ("DROP TYPE mood CASCADE", ["may drop data: DROP TYPE mood CASCADE"]),
        ("DO $$ BEGIN EXECUTE 'drop  table a'; END $$", [f"{IN_A_BLOCK} DROP TABLE"]),
        ("DO $$ BEGIN ALTER TABLE a ALTER b TYPE int; END $$", [CONVERTING]),
        ("ALTER TYPE pair ALTER ATTRIBUTE b TYPE int", [f"{CONVERT} ALTER TYPE pair ALTER ATTRIBUTE b TYPE int"]),
        ("TRUNCATE a CASCADE", ["may drop data: TRUNCATE a CASCADE"]),
        ("ALTER TYPE pair DROP ATTRIBUTE b", ["may drop data: ALTER TYPE pair DROP ATTRIBUTE b"]),
        ("DROP PROCEDURE p CASCADE", ["may drop data: DROP PROCEDURE p CASCADE"]),
        (
            "ALTER TABLE a * ALTER b TYPE int USING b::int, ALTER COLUMN c SET DATA TYPE numeric( 3,1 ), DROP d",
            [
                "changes the type of a.b to int",
                "changes the type of a.c to numeric( 3,1 )",
                "drops column a.d",
            ],
        ),
    ],
)  # fmt: skip
def test_what_loses_data_is_named(sql: str, lost: list[str]) -> None:
    """Tables, columns and rows that a statement takes away are named as the statement writes them."""
    assert [str(loss) for loss in losses(sql)] == lost


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "TRUNCATE",
        "ALTER TABLE a DROP CONSTRAINT b, ALTER COLUMN c DROP DEFAULT, ALTER d DROP NOT NULL, ADD e numeric(3, 2)",
        "DROP INDEX CONCURRENTLY a",
        "DO $$ BEGIN ALTER TABLE a ADD type text; END $$",
        "DROP TYPE mood",
        "CREATE TYPE mood AS ENUM ('a'); ALTER TYPE mood ADD VALUE 'b'; ALTER TYPE mood RENAME TO feeling",
        "ALTER TABLE a ALTER b DROP IDENTITY, ALTER b DROP EXPRESSION, ALTER type SET DEFAULT 1, ALTER",
        "ALTER TABLE a DETACH PARTITION b; DROP VIEW v; ALTER SEQUENCE s AS int",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DELETE FROM a $$",
        "CREATE POLICY p ON a FOR DELETE USING (true)",
        "REVOKE DELETE ON a FROM b",
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES c ON DELETE CASCADE",
        "SELECT \"DROP TABLE a\", 'it''s; DROP TABLE a', E'\\'; DROP TABLE a' -- DROP TABLE a\n /* ; DROP TABLE a; */",
    ],
)
def test_what_loses_no_data_is_let_through(sql: str) -> None:
    """Neither constraints, defaults and rights nor words inside constants, names and comments are a loss."""
    assert losses(sql) == ()


@pytest.mark.parametrize(
    ("clause", "type_", "using"),
    [
        ("TYPE time(3) with time zone USING b AT TIME ZONE 'UTC'", "time(3) with time zone", "b AT TIME ZONE 'UTC'"),
        ('SET DATA TYPE "My, type"[] USING f(b, $x$, $x$)', '"My, type"[]', "f(b, $x$, $x$)"),
        ("type varchar ( 3 ) -- short\n", "varchar ( 3 )", ""),
        ("TYPE text COLLATE \"C\" USING b /* as it is */ || ''", "text", "b /* as it is */ || ''"),
    ],
)  # fmt: skip
def test_a_type_and_its_expression_are_read_as_they_are_written(clause: str, type_: str, using: str) -> None:
    """They can be asked of the database just so, blanks, comments and constants among them."""
    expected = Loss(Kind.RETYPE, "a", "b", type_, using)
    assert losses(f"ALTER TABLE a ALTER b {clause}, ALTER c SET NOT NULL; SELECT 1") == (expected,)


@given(st.text(max_size=20), st.sampled_from(["'{}'", "$x${}$x$", '"{}"']))
def test_no_text_inside_quotes_is_a_statement(text: str, quoted: str) -> None:
    """Whatever a constant or a quoted name holds, nothing of it is taken for a statement, and the next one is seen."""
    inside = text.replace("'", "''").replace('"', '""').replace("$", "")
    assert [str(loss) for loss in losses(f"SELECT {quoted.format(inside)}; DROP TABLE a")] == ["drops table a"]


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER ROLE a PASSWORD 'S3cr''et'",
        "SELECT E'\\'S3cret'",
        "SELECT $$S3cret$$, $a$S3cret$a$",
        "SELECT 1,\n 'S3cret, cut sho",
    ],
)
def test_constants_are_left_out_of_what_is_shown(sql: str) -> None:
    """A query that is shown holds no constant, which may be a password, also where the server cut it short."""
    shown = without_constants(sql)
    assert "S3cr" not in shown
    assert "…" in shown
    assert "\n" not in shown
