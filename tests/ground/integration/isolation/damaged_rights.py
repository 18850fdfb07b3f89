"""Damage to the rights and roles of a migrated database, each with what the catalogue's rules find of it."""

DEFINER = "CREATE FUNCTION app.f() RETURNS {} LANGUAGE plpgsql SECURITY DEFINER {} AS 'BEGIN RETURN NULL; END'"
PINNED = "SET search_path = pg_catalog, pg_temp"
OF_OWNER = (
    ";ALTER FUNCTION app.f() OWNER TO app_owner; REVOKE ALL ON FUNCTION app.f() FROM PUBLIC;"
    "GRANT EXECUTE ON FUNCTION app.f() TO app_user"
)
LO_COMPAT = "ALTER DATABASE {database} SET lo_compat_privileges = on"

# The rule, the object it names, and the damage.
RIGHTS_DAMAGES: list[tuple[str, str, str]] = [
    *(
        ("user-privilege", f"{word} ON TABLE users TO app_user", f"GRANT {word} ON users TO app_user")
        for word in ("TRUNCATE", "REFERENCES", "TRIGGER")
    ),
    ("user-privilege", "SELECT ON TABLE users TO app_user", "GRANT SELECT ON users TO app_user WITH GRANT OPTION"),
    ("user-privilege", "CREATE ON SCHEMA app TO app_user", "GRANT CREATE ON SCHEMA app TO app_user"),
    (
        "user-privilege",
        "TEMPORARY ON DATABASE {database} TO app_user",
        "GRANT TEMPORARY ON DATABASE {database} TO app_user",
    ),
    (
        "user-privilege",
        "SELECT ON SEQUENCE bills TO app_user",
        "CREATE SEQUENCE bills; GRANT SELECT, USAGE ON bills TO app_user",
    ),
    ("user-privilege", "SELECT ON TABLE pg_authid TO app_user", "GRANT SELECT ON pg_authid TO app_user"),
    (
        "user-privilege",
        "EXECUTE ON FUNCTION pg_read_file(text) TO app_user",
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app_user",
    ),
    (
        "user-privilege",
        "SET ON PARAMETER session_replication_role TO app_user",
        "GRANT SET ON PARAMETER session_replication_role TO app_user",
    ),
    (
        "user-privilege",
        "SELECT ON LARGE OBJECT 77 TO app_user",
        "SELECT lo_create(77); GRANT SELECT ON LARGE OBJECT 77 TO app_user",
    ),
    (
        "user-privilege",
        "CREATE ON TABLESPACE pg_default TO app_user",
        "GRANT CREATE ON TABLESPACE pg_default TO app_user",
    ),
    ("public-privilege", "SELECT ON TABLE pg_authid TO PUBLIC", "GRANT SELECT ON pg_authid TO PUBLIC"),
    (
        "public-privilege",
        "SELECT ON COLUMN pg_authid.rolpassword TO PUBLIC",
        "GRANT SELECT (rolpassword) ON pg_authid TO PUBLIC",
    ),
    (
        "public-privilege",
        "EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC",
    ),
    (
        "public-privilege",
        "SELECT ON TABLE information_schema._pg_user_mappings TO PUBLIC",
        "GRANT SELECT ON information_schema._pg_user_mappings TO PUBLIC",
    ),
    (
        "public-privilege",
        "CREATE ON SCHEMA pg_catalog TO PUBLIC",
        "RESET ROLE; GRANT CREATE ON SCHEMA pg_catalog TO PUBLIC",
    ),
    ("column-privilege", "SELECT ON COLUMN users.email TO app_user", "GRANT SELECT (email) ON users TO app_user"),
    ("public-privilege", "SELECT ON TABLE users TO PUBLIC", "GRANT SELECT ON users TO PUBLIC"),
    ("public-privilege", "UPDATE ON COLUMN users.email TO PUBLIC", "GRANT UPDATE (email) ON users TO PUBLIC"),
    ("public-privilege", "USAGE ON SCHEMA app TO PUBLIC", "GRANT USAGE ON SCHEMA app TO PUBLIC"),
    ("public-privilege", "CONNECT ON DATABASE {database} TO PUBLIC", "GRANT CONNECT ON DATABASE {database} TO PUBLIC"),
    ("maintenance-privilege", "DELETE ON TABLE users TO app_maintenance", "GRANT DELETE ON users TO app_maintenance"),
    (
        "default-privilege",
        "SELECT ON TABLES of app_owner in public TO app_user",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA public GRANT SELECT ON TABLES TO app_user",
    ),
    (
        "default-privilege",
        "USAGE ON SEQUENCES of app_owner TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner GRANT USAGE ON SEQUENCES TO PUBLIC",
    ),
    ("owned-by-user", "table app.mine", "CREATE TABLE app.mine (); ALTER TABLE app.mine OWNER TO app_user"),
    ("role-missing", "app_maintenance", "ALTER ROLE app_maintenance RENAME TO somebody"),
    ("role-attribute", "BYPASSRLS OF app_user", "ALTER ROLE app_user BYPASSRLS"),
    ("role-attribute", "REPLICATION OF app_owner", "ALTER ROLE app_owner REPLICATION"),
    ("role-attribute", "CREATEROLE OF app_maintenance", "ALTER ROLE app_maintenance CREATEROLE"),
    ("role-membership", "app_owner TO app_user", "GRANT app_owner TO app_user"),
    ("role-membership", "pg_read_all_data TO app_owner", "GRANT pg_read_all_data TO app_owner"),
    ("session-default", "app.tenant_id OF ROLE app_user", "ALTER ROLE app_user SET app.tenant_id = '0'"),
    ("session-default", "app.tenant_id OF ROLE ALL", "ALTER ROLE ALL SET app.tenant_id = '0'"),
    ("session-default", "app.tenant_id OF ROLE ALL", """ALTER ROLE ALL SET "APP"."tenant_id" = '0'"""),
    ("session-default", "app.user OF ROLE app_user", """ALTER ROLE app_user SET app."user" = '0'"""),
    ("session-default", "lo_compat_privileges OF DATABASE {database}", LO_COMPAT),
    ("session-default", "role OF ROLE app_user", "ALTER ROLE app_user SET role = 'app_owner'"),
    (
        "session-default",
        "session_replication_role OF DATABASE {database}",
        "ALTER DATABASE {database} SET session_replication_role = 'replica'",
    ),
    (
        "session-default",
        "row_security OF ROLE app_user IN DATABASE {database}",
        "ALTER ROLE app_user IN DATABASE {database} SET row_security = off",
    ),
    ("session-default", "app.tenant_id OF SYSTEM", "SET LOCAL app.tenant_id = '0'"),
]

# The role that the application connects as, and what is found of it and of the roles that it is a member of.
LOGIN = "Web.App"
MEMBER = """CREATE ROLE "Web.App" LOGIN; GRANT app_user TO "Web.App";"""
ROLE_DAMAGES: list[tuple[str, str, set[tuple[str, str]]]] = [
    (
        LOGIN,
        MEMBER + """GRANT TRUNCATE ON users TO "Web.App" """,
        {("user-privilege", """TRUNCATE ON TABLE users TO "Web.App\"""")},
    ),
    (
        LOGIN,
        MEMBER + "GRANT TRUNCATE ON users TO app_user",
        {("user-privilege", "TRUNCATE ON TABLE users TO app_user")},
    ),
    (LOGIN, MEMBER + "ALTER ROLE app_user BYPASSRLS", {("role-attribute", "BYPASSRLS OF app_user")}),
    (LOGIN, MEMBER + """ALTER ROLE "Web.App" CREATEDB""", {("role-attribute", """CREATEDB OF "Web.App\"""")}),
    (
        LOGIN,
        MEMBER + """ALTER ROLE "Web.App" SET row_security = off""",
        {("session-default", """row_security OF ROLE "Web.App\"""")},
    ),
    (
        LOGIN,
        MEMBER + """CREATE TABLE staged (); ALTER TABLE staged OWNER TO "Web.App" """,
        {("owned-by-user", "table staged")},
    ),
    (
        LOGIN,
        MEMBER + """CREATE TABLE notes (id int); GRANT UPDATE ON notes TO "Web.App" """,
        {("tenant-column", "UPDATE ON TABLE notes")},
    ),
    (
        LOGIN,
        MEMBER + """ALTER DEFAULT PRIVILEGES FOR ROLE app_owner GRANT SELECT ON TABLES TO "Web.App" """,
        {("default-privilege", """SELECT ON TABLES of app_owner TO "Web.App\"""")},
    ),
    (
        LOGIN,
        MEMBER + DEFINER.format("uuid", PINNED) + OF_OWNER.replace("app_user", '"Web.App"'),
        {("security-definer", "app.f()")},
    ),
    # By SET ROLE alone, and from one role to the next.
    (
        LOGIN,
        MEMBER
        + """CREATE ROLE reporting; CREATE ROLE others;
             GRANT reporting TO "Web.App" WITH INHERIT FALSE, SET TRUE; GRANT others TO reporting;
             GRANT TRIGGER ON users TO others""",
        {
            ("user-privilege", "TRIGGER ON TABLE users TO others"),
            ("role-membership", """reporting TO "Web.App\""""),
            ("role-membership", "others TO reporting"),
        },
    ),
    (
        LOGIN,
        MEMBER + """CREATE ROLE reporting BYPASSRLS; GRANT reporting TO "Web.App" """,
        {("role-attribute", "BYPASSRLS OF reporting"), ("role-membership", """reporting TO "Web.App\"""")},
    ),
    *(
        (LOGIN, MEMBER + f'GRANT {group} TO "Web.App"', {("role-membership", f'{group} TO "Web.App"')})
        for group in ("app_owner", "pg_write_all_data", "pg_execute_server_program", "pg_monitor", "postgres")
    ),
    # Given by somebody who is no superuser.
    (
        LOGIN,
        MEMBER
        + """CREATE ROLE reporting; GRANT reporting TO app_maintenance WITH ADMIN OPTION; SET ROLE app_maintenance;
             GRANT reporting TO "Web.App"; RESET ROLE; REVOKE app_user FROM "Web.App" """,
        {("role-membership", """reporting TO "Web.App\""""), ("role-membership", "reporting TO app_maintenance")},
    ),
    (LOGIN, "SELECT", {("role-missing", '"Web.App"')}),
    ("app_owner", "SELECT", {("application-role", "app_owner")}),
    ("app_maintenance", "SELECT", {("application-role", "app_maintenance")}),
    ("postgres", "SELECT", {("application-role", "postgres")}),
]
