"""Damage by what answers the application or runs for it: views, functions, the system's own objects."""

from tests.ground.integration.isolation.damaged_rights import DEFINER, OF_OWNER, PINNED
from tests.ground.integration.isolation.damaged_tables import TABLES

FOREIGN = """
    CREATE FOREIGN DATA WRAPPER nowhere;
    CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
    CREATE FOREIGN TABLE others (tenant_id uuid NOT NULL) SERVER elsewhere;
    GRANT SELECT ON others TO app_user
"""

CONSTANT = (
    "CREATE OR REPLACE FUNCTION app.tenant_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT NULL::uuid'"
)
RESOLVE = """
    CREATE OR REPLACE FUNCTION app.resolve_tenant(by_slug text, by_external_id text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'SELECT tenant_id FROM public.tenant_directory ORDER BY slug LIMIT 1'
"""

# The rule, the object it names, and the damage.
CODE_DAMAGES: list[tuple[str, str, str]] = [
    ("view-of-its-owner", "everybody", "CREATE VIEW everybody AS TABLE users; GRANT SELECT ON everybody TO app_user"),
    (
        "view-of-its-owner",
        "everybody",
        "CREATE VIEW everybody WITH (security_invoker = off) AS TABLE users; GRANT SELECT ON everybody TO app_user",
    ),
    ("system-object", "VIEW information_schema.all_users", "CREATE VIEW information_schema.all_users AS TABLE users"),
    (
        "system-object",
        "FUNCTION helper()",
        "CREATE FUNCTION pg_catalog.helper() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    ("system-object", "CAST (text AS bigint)", "CREATE CAST (text AS bigint) WITH FUNCTION pg_size_bytes(text)"),
    (
        "system-object",
        "OPERATOR ===(uuid,uuid)",
        "CREATE OPERATOR pg_catalog.=== (FUNCTION = uuid_ne, LEFTARG = uuid, RIGHTARG = uuid)",
    ),
    ("system-object", "DOMAIN short", "CREATE DOMAIN pg_catalog.short AS text"),
    ("system-object", "TYPE information_schema.pair", "CREATE TYPE information_schema.pair AS (a int, b int)"),
    ("system-object", "TYPE span", "CREATE TYPE pg_catalog.span AS RANGE (SUBTYPE = uuid)"),
    (
        "system-function",
        "uuid_send(uuid)",
        (
            "CREATE OR REPLACE FUNCTION pg_catalog.uuid_send(uuid) RETURNS bytea LANGUAGE plpgsql"
            " AS 'BEGIN RETURN NULL; END'"
        ),
    ),
    ("system-function", "textlike(text,text)", "ALTER FUNCTION pg_catalog.textlike(text, text) LEAKPROOF"),
    ("system-function", "lower(text)", "ALTER FUNCTION pg_catalog.lower(text) SET app.tenant_id = '0'"),
    ("function-changed", "app.tenant_id()", CONSTANT),
    ("function-changed", "app.tenant_id()", "ALTER FUNCTION app.tenant_id() PARALLEL UNSAFE"),
    (
        "function-changed",
        "app.set_updated_at()",
        (
            "CREATE OR REPLACE FUNCTION app.set_updated_at() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN SET LOCAL app.tenant_id = ''0''; RETURN NEW; END'"
        ),
    ),
    (
        "function-undeclared",
        "app.f()",
        (
            "CREATE FUNCTION app.f() RETURNS bool LANGUAGE sql STABLE AS 'SELECT true';"
            "CREATE POLICY narrower ON users AS RESTRICTIVE TO app_user USING ((SELECT app.f()))"
        ),
    ),
    (
        "materialized-view",
        "everybody",
        "CREATE MATERIALIZED VIEW everybody AS TABLE users; GRANT SELECT ON everybody TO app_user",
    ),
    ("foreign-table", "others", FOREIGN),
    (
        "leakproof-function",
        "app.f(text)",
        "CREATE FUNCTION app.f(text) RETURNS bool LANGUAGE sql LEAKPROOF AS 'SELECT true'",
    ),
    ("untrusted-language", "app.f()", "CREATE FUNCTION app.f() RETURNS timestamptz LANGUAGE internal AS 'now'"),
    (
        "event-trigger",
        "meddler",
        (
            "CREATE FUNCTION app.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
            "CREATE EVENT TRIGGER meddler ON ddl_command_end EXECUTE FUNCTION app.f()"
        ),
    ),
]

# What breaks several rules at once.
WIDE_CODE_DAMAGES: list[tuple[str, set[tuple[str, str]]]] = [
    *(
        (
            DEFINER.format("uuid", settings) + OF_OWNER,
            {("security-definer", "app.f()"), ("security-definer-search-path", "app.f()")},
        )
        for settings in (
            *("", "SET work_mem = '1MB'", "SET search_path = ''", "SET search_path = public"),
            """SET search_path = pg_temp, "a, b", "$user\"""",
        )
    ),
    (
        DEFINER.format("trigger", "") + OF_OWNER + ";REVOKE ALL ON FUNCTION app.f() FROM app_user;"
        "CREATE TRIGGER f BEFORE INSERT ON users EXECUTE FUNCTION app.f()",
        {
            ("security-definer", "app.f()"),
            ("security-definer-search-path", "app.f()"),
            ("function-undeclared", "app.f()"),
        },
    ),
    (
        DEFINER.format("uuid", PINNED)
        + ";ALTER FUNCTION app.f() OWNER TO postgres; REVOKE ALL ON FUNCTION app.f() FROM PUBLIC;"
        "GRANT EXECUTE ON FUNCTION app.f() TO app_user",
        {("security-definer", "app.f()"), ("security-definer-bypasses", "app.f()")},
    ),
    (
        DEFINER.format("uuid", PINNED) + ";ALTER FUNCTION app.f() OWNER TO app_owner",
        {("security-definer", "app.f()"), ("security-definer-for-everybody", "app.f()")},
    ),
    (
        "ALTER FUNCTION app.tenant_id() IMMUTABLE",
        {("function-changed", "app.tenant_id()"), ("immutable-in-policy", "app.tenant_id()")},
    ),
    (
        "ALTER FUNCTION app.tenant_id() SET search_path = ''",
        {("function-changed", "app.tenant_id()"), ("setting-in-policy", "app.tenant_id()")},
    ),
    (
        RESOLVE,
        {
            ("function-changed", "app.resolve_tenant(text,text)"),
            ("security-definer", "app.resolve_tenant(text,text)"),
            ("allow-list", "security-definer app.resolve_tenant(text,text)"),
        },
    ),
    (
        "ALTER FUNCTION pg_read_file(text) SECURITY DEFINER; GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC",
        {
            ("public-privilege", "EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC"),
            ("security-definer", "pg_read_file(text)"),
            ("security-definer-search-path", "pg_read_file(text)"),
            ("security-definer-bypasses", "pg_read_file(text)"),
            ("security-definer-for-everybody", "pg_read_file(text)"),
            ("untrusted-language", "pg_read_file(text)"),
        },
    ),
    (
        (
            "CREATE FUNCTION pg_catalog.helper() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_temp"
            " AS 'SELECT 1'"
        ),
        {
            ("system-object", "FUNCTION helper()"),
            ("security-definer", "helper()"),
            ("security-definer-bypasses", "helper()"),
            ("security-definer-for-everybody", "helper()"),
        },
    ),
    # A function that a policy calls may neither keep its settings nor run as its owner without them.
    *(
        (
            f"CREATE FUNCTION app.f() RETURNS bool LANGUAGE sql STABLE SECURITY DEFINER {settings} AS 'SELECT true'"
            + OF_OWNER
            + ";CREATE POLICY narrower ON users AS RESTRICTIVE TO app_user USING ((SELECT app.f()))",
            {("security-definer", "app.f()"), ("function-undeclared", "app.f()"), (rule, "app.f()")},
        )
        for settings, rule in (("", "security-definer-search-path"), (PINNED, "setting-in-policy"))
    ),
    (
        "DROP FUNCTION app.tenant_id() CASCADE",
        {("tenant-function-missing", "app.tenant_id()")}
        | {("policy-missing", f"{table}.{kind}") for table in TABLES for kind in ("tenant_permit", "tenant_restrict")},
    ),
]
