"""Damage to a migrated database, each with what the catalogue's rules find of it; and changes that are none."""

PROTECT = """
    ALTER TABLE {0} ENABLE ROW LEVEL SECURITY;
    ALTER TABLE {0} FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant_permit ON {0} AS PERMISSIVE
        USING (tenant_id = (SELECT app.tenant_id())) WITH CHECK (tenant_id = (SELECT app.tenant_id()));
    CREATE POLICY tenant_restrict ON {0} AS RESTRICTIVE
        USING (tenant_id = (SELECT app.tenant_id())) WITH CHECK (tenant_id = (SELECT app.tenant_id()));
    GRANT SELECT, INSERT, UPDATE, DELETE ON {0} TO app_user;
"""


def protected(table: str, columns: str, more: str = "") -> str:
    """Return the statements that make a table of tenants as a migration would."""
    return f"CREATE TABLE {table} ({columns}) {more};{PROTECT.format(table)}"


PREDICATE = "tenant_id = (SELECT app.tenant_id())"
TABLES = ("tenants", "tenant_features", "users")
DEFINER = "CREATE FUNCTION app.f() RETURNS {} LANGUAGE plpgsql SECURITY DEFINER {} AS 'BEGIN RETURN NULL; END'"
FOREIGN = """
    CREATE FOREIGN DATA WRAPPER nowhere;
    CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
    CREATE FOREIGN TABLE others (tenant_id uuid NOT NULL) SERVER elsewhere;
    GRANT SELECT ON others TO app_user
"""

# The rule, the object it names, and the damage.
DAMAGES: list[tuple[str, str, str]] = [
    ("tenant-column", "notes", "CREATE TABLE notes (id int); GRANT SELECT ON notes TO app_user"),
    ("tenant-column-nullable", "notes", protected("notes", "tenant_id uuid")),
    ("row-security-off", "users", "ALTER TABLE users DISABLE ROW LEVEL SECURITY"),
    ("row-security-not-forced", "users", "ALTER TABLE users NO FORCE ROW LEVEL SECURITY"),
    ("policy-missing", "users.tenant_permit", "DROP POLICY tenant_permit ON users"),
    ("policy-missing", "users.tenant_restrict", "DROP POLICY tenant_restrict ON users"),
    (
        "policy-missing",
        "users.tenant_restrict",
        (
            f"DROP POLICY tenant_restrict ON users;"
            f"CREATE POLICY tenant_restrict ON users AS PERMISSIVE USING ({PREDICATE}) WITH CHECK ({PREDICATE})"
        ),
    ),
    ("policy-predicate", "users.tenant_permit", "ALTER POLICY tenant_permit ON users USING (true)"),
    ("policy-predicate", "users.tenant_restrict", "ALTER POLICY tenant_restrict ON users WITH CHECK (true)"),
    (
        "policy-predicate",
        "users.tenant_restrict",
        f"ALTER POLICY tenant_restrict ON users USING ({PREDICATE} OR role = 'owner')",
    ),
    (
        "policy-predicate",
        "users.tenant_permit",
        f"DROP POLICY tenant_permit ON users; CREATE POLICY tenant_permit ON users USING ({PREDICATE})",
    ),
    (
        "policy-command",
        "users.tenant_restrict",
        (
            "DROP POLICY tenant_restrict ON users; CREATE POLICY tenant_restrict ON users AS RESTRICTIVE FOR UPDATE"
            f" USING ({PREDICATE}) WITH CHECK ({PREDICATE})"
        ),
    ),
    ("policy-role", "users.tenant_restrict", "ALTER POLICY tenant_restrict ON users TO app_user"),
    ("policy-permissive", "users.open", "CREATE POLICY open ON users USING (true)"),
    ("policy-permissive", "users.open", "CREATE POLICY open ON users FOR SELECT TO app_user USING (true)"),
    (
        "partition-unprotected",
        "notes_0",
        protected("notes", "tenant_id uuid NOT NULL", "PARTITION BY HASH (tenant_id)")
        + "CREATE TABLE notes_0 PARTITION OF notes FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
        + "GRANT SELECT ON notes_0 TO app_user",
    ),
    (
        "partition-unprotected",
        "notes_0",
        protected("notes", "tenant_id uuid NOT NULL", "PARTITION BY HASH (tenant_id)")
        + "CREATE TABLE notes_0 PARTITION OF notes FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
        + PROTECT.format("notes_0")
        + "ALTER POLICY tenant_restrict ON notes_0 USING (true)",
    ),
    (
        "partition-unprotected",
        "guests",
        "CREATE TABLE guests (PRIMARY KEY (tenant_id, id)) INHERITS (users); GRANT SELECT ON guests TO app_user",
    ),
    ("rewrite-rule", "users.noted", "CREATE RULE noted AS ON INSERT TO users DO ALSO NOTHING"),
    (
        "invalid-index",
        "uq_users_tenant_id_email",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'uq_users_tenant_id_email'::regclass",
    ),
    ("foreign-key-disabled", "users.fk_users_tenant_id_tenants", "ALTER TABLE users DISABLE TRIGGER ALL"),
    ("unique-across-tenants", "users.by_email", "CREATE UNIQUE INDEX by_email ON users (email)"),
    ("unique-across-tenants", "users.by_email", "CREATE UNIQUE INDEX by_email ON users (email, tenant_id)"),
    ("unique-across-tenants", "users.by_email", "CREATE UNIQUE INDEX by_email ON users (lower(email), tenant_id)"),
    ("unique-across-tenants", "users.by_role", "CREATE UNIQUE INDEX by_role ON users (role) WHERE role = 'owner'"),
    ("unique-across-tenants", "users.by_id", "ALTER TABLE users ADD CONSTRAINT by_id UNIQUE (id)"),
    (
        "unique-across-tenants",
        "users.by_email",
        "ALTER TABLE users ADD CONSTRAINT by_email EXCLUDE USING btree (email WITH =)",
    ),
    (
        "unique-across-tenants",
        "notes.by_n",
        protected(
            "notes", "tenant_id uuid NOT NULL, n int, CONSTRAINT by_n UNIQUE (n, tenant_id)", "PARTITION BY HASH (n)"
        )
        + "CREATE TABLE notes_0 PARTITION OF notes FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    ),
    (
        "unique-across-tenants",
        "notes.notes_pkey",
        protected("notes", "tenant_id uuid NOT NULL, id int PRIMARY KEY"),
    ),
    (
        "foreign-key-nulls-the-tenant",
        "users.to_feature",
        (
            "ALTER TABLE users ADD COLUMN feature text, ADD CONSTRAINT to_feature"
            " FOREIGN KEY (tenant_id, feature) REFERENCES tenant_features ON DELETE SET NULL"
        ),
    ),
    (
        "foreign-key-nulls-the-tenant",
        "users.to_feature",
        (
            "ALTER TABLE users ADD COLUMN feature text, ADD CONSTRAINT to_feature"
            " FOREIGN KEY (tenant_id, feature) REFERENCES tenant_features ON UPDATE SET DEFAULT"
        ),
    ),
    ("view-of-its-owner", "everybody", "CREATE VIEW everybody AS TABLE users; GRANT SELECT ON everybody TO app_user"),
    (
        "materialized-view",
        "everybody",
        "CREATE MATERIALIZED VIEW everybody AS TABLE users; GRANT SELECT ON everybody TO app_user",
    ),
    ("foreign-table", "others", FOREIGN),
    (
        "security-definer-search-path",
        "app.f()",
        DEFINER.format("uuid", "")
        + ";ALTER FUNCTION app.f() OWNER TO app_owner; REVOKE ALL ON FUNCTION app.f() FROM PUBLIC;"
        "GRANT EXECUTE ON FUNCTION app.f() TO app_user",
    ),
    (
        "security-definer-search-path",
        "app.f()",
        DEFINER.format("trigger", "")
        + ";ALTER FUNCTION app.f() OWNER TO app_owner; REVOKE ALL ON FUNCTION app.f() FROM PUBLIC;"
        "CREATE TRIGGER f BEFORE INSERT ON users EXECUTE FUNCTION app.f()",
    ),
    (
        "security-definer-bypasses",
        "app.f()",
        DEFINER.format("uuid", "SET search_path = ''")
        + ";REVOKE ALL ON FUNCTION app.f() FROM PUBLIC; GRANT EXECUTE ON FUNCTION app.f() TO app_user",
    ),
    (
        "security-definer-for-everybody",
        "app.f()",
        DEFINER.format("uuid", "SET search_path = ''") + ";ALTER FUNCTION app.f() OWNER TO app_owner",
    ),
    (
        "leakproof-function",
        "app.f(text)",
        "CREATE FUNCTION app.f(text) RETURNS bool LANGUAGE sql LEAKPROOF AS 'SELECT true'",
    ),
    ("immutable-in-policy", "app.tenant_id()", "ALTER FUNCTION app.tenant_id() IMMUTABLE"),
    ("setting-in-policy", "app.tenant_id()", "ALTER FUNCTION app.tenant_id() SET search_path = ''"),
    ("untrusted-language", "app.f()", "CREATE FUNCTION app.f() RETURNS timestamptz LANGUAGE internal AS 'now'"),
    (
        "event-trigger",
        "meddler",
        (
            "CREATE FUNCTION app.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
            "CREATE EVENT TRIGGER meddler ON ddl_command_end EXECUTE FUNCTION app.f()"
        ),
    ),
    *(
        ("user-privilege", f"{word} ON TABLE users", f"GRANT {word} ON users TO app_user")
        for word in ("TRUNCATE", "REFERENCES", "TRIGGER")
    ),
    ("user-privilege", "SELECT ON TABLE users", "GRANT SELECT ON users TO app_user WITH GRANT OPTION"),
    ("user-privilege", "CREATE ON SCHEMA app", "GRANT CREATE ON SCHEMA app TO app_user"),
    ("user-privilege", "TEMPORARY ON DATABASE {database}", "GRANT TEMPORARY ON DATABASE {database} TO app_user"),
    ("user-privilege", "SELECT ON SEQUENCE bills", "CREATE SEQUENCE bills; GRANT SELECT, USAGE ON bills TO app_user"),
    ("user-privilege", "SELECT ON TABLE pg_authid", "GRANT SELECT ON pg_authid TO app_user"),
    (
        "user-privilege",
        "EXECUTE ON FUNCTION pg_read_file(text)",
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app_user",
    ),
    (
        "user-privilege",
        "SET ON PARAMETER session_replication_role",
        "GRANT SET ON PARAMETER session_replication_role TO app_user",
    ),
    (
        "user-privilege",
        "SELECT ON LARGE OBJECT 77",
        "SELECT lo_create(77); GRANT SELECT ON LARGE OBJECT 77 TO app_user",
    ),
    ("column-privilege", "SELECT ON COLUMN users.email", "GRANT SELECT (email) ON users TO app_user"),
    ("public-privilege", "SELECT ON TABLE users", "GRANT SELECT ON users TO PUBLIC"),
    ("public-privilege", "UPDATE ON COLUMN users.email", "GRANT UPDATE (email) ON users TO PUBLIC"),
    ("public-privilege", "USAGE ON SCHEMA app", "GRANT USAGE ON SCHEMA app TO PUBLIC"),
    ("public-privilege", "CONNECT ON DATABASE {database}", "GRANT CONNECT ON DATABASE {database} TO PUBLIC"),
    ("maintenance-privilege", "DELETE ON TABLE users", "GRANT DELETE ON users TO app_maintenance"),
    (
        "default-privilege",
        "SELECT ON TABLES of app_owner in public",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA public GRANT SELECT ON TABLES TO app_user",
    ),
    (
        "default-privilege",
        "USAGE ON SEQUENCES of app_owner",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner GRANT USAGE ON SEQUENCES TO PUBLIC",
    ),
    ("owned-by-user", "table app.mine", "CREATE TABLE app.mine (); ALTER TABLE app.mine OWNER TO app_user"),
    ("role-missing", "app_maintenance", "ALTER ROLE app_maintenance RENAME TO somebody"),
    ("role-attribute", "app_user", "ALTER ROLE app_user BYPASSRLS"),
    ("role-attribute", "app_owner", "ALTER ROLE app_owner REPLICATION"),
    ("role-attribute", "app_maintenance", "ALTER ROLE app_maintenance CREATEROLE"),
    ("role-membership", "app_user", "GRANT app_owner TO app_user"),
    ("role-membership", "app_owner", "GRANT pg_read_all_data TO app_owner"),
    ("session-default", "ROLE app_user", "ALTER ROLE app_user SET app.tenant_id = '0'"),
    ("session-default", "DATABASE {database}", "ALTER DATABASE {database} SET session_replication_role = 'replica'"),
    (
        "session-default",
        "ROLE app_user IN DATABASE {database}",
        "ALTER ROLE app_user IN DATABASE {database} SET row_security = off",
    ),
    ("session-default", "SYSTEM", "SET LOCAL app.tenant_id = '0'"),
]

# What breaks several rules at once.
WIDE_DAMAGES: list[tuple[str, set[tuple[str, str]]]] = [
    (
        (
            "CREATE TABLE notes (tenant_id uuid NOT NULL, id int, PRIMARY KEY (tenant_id, id));"
            "GRANT SELECT ON notes TO app_user"
        ),
        {
            ("row-security-off", "notes"),
            ("row-security-not-forced", "notes"),
            ("policy-missing", "notes.tenant_permit"),
            ("policy-missing", "notes.tenant_restrict"),
        },
    ),
    (
        protected("notes", "tenant_id varchar NOT NULL").replace("(tenant_id = ", "(tenant_id::uuid = "),
        {
            ("tenant-column-type", "notes"),
            ("policy-predicate", "notes.tenant_permit"),
            ("policy-predicate", "notes.tenant_restrict"),
        },
    ),
    (
        "ALTER TABLE users ADD CONSTRAINT by_id UNIQUE (id);"
        + protected(
            "notes",
            "tenant_id uuid NOT NULL, id int, user_id uuid, PRIMARY KEY (tenant_id, id),"
            " CONSTRAINT by_whom FOREIGN KEY (user_id) REFERENCES users (id)",
            "PARTITION BY HASH (tenant_id)",
        )
        + "CREATE TABLE notes_0 PARTITION OF notes FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        {("unique-across-tenants", "users.by_id"), ("foreign-key-across-tenants", "notes.by_whom")},
    ),
    (
        "CREATE TABLE notes (id int); GRANT INSERT (id) ON notes TO app_user",
        {("tenant-column", "notes"), ("column-privilege", "INSERT ON COLUMN notes.id")},
    ),
    (
        "DROP FUNCTION app.tenant_id() CASCADE",
        {("tenant-function-missing", "app.tenant_id()")}
        | {("policy-missing", f"{table}.{kind}") for table in TABLES for kind in ("tenant_permit", "tenant_restrict")},
    ),
]

# What is no damage.
HARMLESS: list[str] = [
    "SELECT",
    "SET LOCAL search_path = app",
    "CREATE POLICY narrower ON users AS RESTRICTIVE FOR DELETE TO app_user USING (role <> 'owner')",
    "CREATE VIEW everybody WITH (security_invoker = true) AS TABLE users; GRANT SELECT ON everybody TO app_user",
    "CREATE VIEW everybody AS TABLE users; CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM tenants",
    "CREATE TABLE staged (tenant_id uuid, id int)",
    protected("notes", "tenant_id uuid NOT NULL", "PARTITION BY HASH (tenant_id)")
    + "CREATE TABLE notes_0 PARTITION OF notes FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    protected("notes", "tenant_id uuid NOT NULL", "PARTITION BY HASH (tenant_id)")
    + "CREATE TABLE notes_0 PARTITION OF notes FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
    + PROTECT.format("notes_0"),
    "CREATE UNIQUE INDEX by_email ON users (tenant_id, lower(email)) WHERE role = 'owner'",
    "ALTER TABLE users ADD CONSTRAINT by_email EXCLUDE USING btree (email WITH =, tenant_id WITH =)",
    (
        "ALTER TABLE users ADD COLUMN feature text, ADD FOREIGN KEY (tenant_id, feature) REFERENCES tenant_features"
        " ON DELETE SET NULL (feature)"
    ),
    DEFINER.format("uuid", "SET search_path = ''")
    + ";ALTER FUNCTION app.f() OWNER TO app_owner; REVOKE ALL ON FUNCTION app.f() FROM PUBLIC;"
    "GRANT EXECUTE ON FUNCTION app.f() TO app_user",
    "CREATE SEQUENCE bills; GRANT USAGE ON bills TO app_user",
    "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner GRANT EXECUTE ON FUNCTIONS TO app_maintenance",
    "ALTER ROLE app_user SET work_mem = '8MB'",
    "CREATE PUBLICATION everything FOR ALL TABLES",
]
