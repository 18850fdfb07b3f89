"""Damage to the tables of a migrated database, their policies and keys, each with what the rules find of it."""

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

SHARED = "CREATE TABLE notes (id int); GRANT {} ON notes TO app_user"

# The rule, the object it names, and the damage.
TABLE_DAMAGES: list[tuple[str, str, str]] = [
    ("tenant-column", "SELECT ON TABLE notes", SHARED.format("SELECT")),
    ("tenant-column", "DELETE ON TABLE notes", SHARED.format("DELETE")),
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
        "notes_0_1",
        protected("notes", "tenant_id uuid NOT NULL, n int", "PARTITION BY RANGE (n)")
        + "CREATE TABLE notes_0 PARTITION OF notes DEFAULT PARTITION BY LIST (n);"
        + "CREATE TABLE notes_0_1 PARTITION OF notes_0 DEFAULT; GRANT UPDATE ON notes_0_1 TO app_user",
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
        "notes.by_id",
        protected("notes", "tenant_id uuid NOT NULL, id int, CONSTRAINT by_id PRIMARY KEY (id)"),
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
    (
        "unique-across-tenants",
        "users.by_email",
        "CREATE UNIQUE INDEX by_email ON users (email) NULLS NOT DISTINCT WHERE role = 'owner'",
    ),
    (
        "unique-across-tenants",
        "users.by_email",
        "ALTER TABLE users ADD CONSTRAINT by_email UNIQUE (email) DEFERRABLE INITIALLY DEFERRED",
    ),
    (
        "foreign-key-across-tenants",
        "users.to_feature",
        (
            "ALTER TABLE users ADD COLUMN feature uuid, ADD CONSTRAINT to_feature FOREIGN KEY (feature)"
            " REFERENCES tenants ON DELETE CASCADE"
        ),
    ),
    ("table-unprotected", "tenant_directory", "GRANT SELECT ON tenant_directory TO app_user"),
    (
        "table-unprotected",
        "tenant_directory",
        (
            "ALTER TABLE tenant_directory ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
            "GRANT UPDATE ON tenant_directory TO app_user"
        ),
    ),
]

# What breaks several rules at once.
WIDE_TABLE_DAMAGES: list[tuple[str, set[tuple[str, str]]]] = [
    (
        (
            "CREATE TABLE notes (tenant_id uuid NOT NULL, id int, PRIMARY KEY (tenant_id, id));"
            "GRANT SELECT ON notes TO app_user"
        ),
        {("table-unprotected", "notes")},
    ),
    (
        (
            "ALTER TABLE users DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;"
            "DROP POLICY tenant_permit ON users; DROP POLICY tenant_restrict ON users"
        ),
        {
            ("row-security-off", "users"),
            ("row-security-not-forced", "users"),
            ("policy-missing", "users.tenant_permit"),
            ("policy-missing", "users.tenant_restrict"),
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
    # What was given on by somebody else.
    (
        (
            "GRANT SELECT ON users TO app_user WITH GRANT OPTION; SET ROLE app_user;"
            "GRANT SELECT ON users TO PUBLIC; RESET ROLE"
        ),
        {
            ("user-privilege", "SELECT ON TABLE users TO app_user"),
            ("public-privilege", "SELECT ON TABLE users TO PUBLIC"),
        },
    ),
    (
        protected("notes", "tenant_id uuid NOT NULL, n int, email text")
        + "CREATE UNIQUE INDEX by_n ON notes (n) INCLUDE (email);"
        "ALTER TABLE users ADD COLUMN feature int, ADD CONSTRAINT to_feature FOREIGN KEY (feature) REFERENCES notes (n)"
        " ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED",
        {("foreign-key-across-tenants", "users.to_feature"), ("unique-across-tenants", "notes.by_n")},
    ),
    (
        "CREATE TABLE notes (id int); GRANT INSERT (id) ON notes TO app_user",
        {("tenant-column", "INSERT ON TABLE notes"), ("column-privilege", "INSERT ON COLUMN notes.id TO app_user")},
    ),
]
