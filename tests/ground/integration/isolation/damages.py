"""Damage to the objects of a migrated database, all together; and changes that are none."""

from tests.ground.integration.isolation.damaged_code import CODE_DAMAGES, WIDE_CODE_DAMAGES
from tests.ground.integration.isolation.damaged_rights import MEMBER
from tests.ground.integration.isolation.damaged_tables import PROTECT, TABLE_DAMAGES, WIDE_TABLE_DAMAGES, protected

DAMAGES = TABLE_DAMAGES + CODE_DAMAGES
WIDE_DAMAGES = WIDE_TABLE_DAMAGES + WIDE_CODE_DAMAGES

# What is no damage.
HARMLESS: list[str] = [
    *(
        f"CREATE VIEW everybody WITH (security_invoker = {word}) AS TABLE users; GRANT SELECT ON everybody TO app_user"
        for word in ("'TRUE'", "'On'", "1", "'y'", "'tru'")
    ),
    MEMBER,
    "ALTER ROLE app_user SET row_security = on; ALTER ROLE app_user SET session_replication_role = 'origin'",
    "SELECT",
    "CREATE ROLE others_user LOGIN; ALTER ROLE others_user SET app.tenant_id = 'theirs'",
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
    "CREATE SEQUENCE bills; GRANT USAGE ON bills TO app_user",
    "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner GRANT EXECUTE ON FUNCTIONS TO app_maintenance",
    "ALTER ROLE app_user SET work_mem = '8MB'",
    "CREATE PUBLICATION everything FOR ALL TABLES",
    # In the schemas of the system: rights, costs, and a conversion that says what is so without it.
    "REVOKE EXECUTE ON FUNCTION pg_catalog.texteq(text, text) FROM PUBLIC",
    "REVOKE EXECUTE ON FUNCTION lower(text) FROM PUBLIC; ALTER FUNCTION pg_catalog.lower(text) COST 10",
    "CREATE CAST (text AS uuid) WITH INOUT AS ASSIGNMENT",
]
