"""The questions to pg_catalog about roles and rights (PostgreSQL manual, 5.7 and chapter 53).

Their columns are the fields of the data read. `judged` are the roles that the application acts as.
"""

# The application is whatever role its URL names, and every role that this one is a member of: without INHERIT it may
# still SET ROLE. What lies `beyond` is a finding by itself, and what it may do is not asked: the owner, superusers, who
# reads every tenant, and the server's predefined roles.
APPLICATION = """
    WITH RECURSIVE beyond (oid) AS MATERIALIZED (
        SELECT oid FROM pg_roles
        WHERE rolsuper OR rolname ~ '^pg_' OR rolname IN (%(owner)s, %(maintenance)s)
           OR oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
    ), held (oid) AS (
        SELECT oid FROM pg_roles WHERE rolname IN (%(user)s, %(application)s)
        UNION
        SELECT m.roleid FROM held JOIN pg_auth_members m ON m.member = held.oid
        WHERE held.oid NOT IN (SELECT oid FROM beyond)
    )
    SELECT r.oid, r.oid::regrole::text, r.oid IN (SELECT oid FROM beyond)
    FROM held JOIN pg_roles r USING (oid)
    ORDER BY rolname <> %(user)s, rolname
"""

# A membership is revoked as whoever granted it (PostgreSQL manual, REVOKE).
ROLES = """
    SELECT r.oid::regrole::text,
           array_remove(ARRAY[
               CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
               CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
               CASE WHEN r.rolreplication THEN 'REPLICATION' END
           ], NULL),
           ARRAY(SELECT DISTINCT roleid::regrole::text FROM pg_auth_members WHERE member = r.oid ORDER BY 1),
           ARRAY(
               SELECT string_agg(
                   format('REVOKE %%s FROM %%s GRANTED BY %%s', roleid::regrole, r.oid::regrole, grantor::regrole),
                   '; ' ORDER BY grantor
               )
               FROM pg_auth_members WHERE member = r.oid GROUP BY roleid ORDER BY roleid::regrole::text
           )
    FROM pg_roles r
    WHERE r.rolname = ANY (%(roles)s) OR r.oid = ANY (%(judged)s::oid[])
    ORDER BY 1
"""

# NULL in an ACL column stands for the built-in default (PostgreSQL manual, 5.7), which grants PUBLIC something on a
# database and on system objects alone. What initdb has granted on those is in pg_init_privs (manual, 53.27), but for
# information_schema, which it makes afterwards: USAGE of it, and SELECT of what it does not keep to itself.
GRANTS = """
    WITH initial (classoid, objoid, objsubid, acl) AS (
        SELECT classoid, objoid, objsubid, initprivs FROM pg_init_privs WHERE privtype = 'i'
        UNION ALL
        SELECT 'pg_class'::regclass, oid, 0, ARRAY[makeaclitem(0, relowner, 'SELECT', false)] FROM pg_class
        WHERE relnamespace = 'information_schema'::regnamespace AND oid < 16384 AND relname !~ '^_pg_'
        UNION ALL
        SELECT 'pg_namespace'::regclass, oid, 0, ARRAY[makeaclitem(0, nspowner, 'USAGE', false)] FROM pg_namespace
        WHERE oid = 'information_schema'::regnamespace
    ), acls (kind, object, target, field, system, owner, acl, initial) AS (
        SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass::text,
               CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass, '',
               n.nspname ~ '^pg_|^information_schema$', c.relowner, c.relacl, i.acl
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN initial i ON (i.classoid, i.objoid, i.objsubid) = ('pg_class'::regclass, c.oid, 0)
        WHERE c.relacl IS NOT NULL
        UNION ALL
        SELECT 'COLUMN', c.oid::regclass || '.' || quote_ident(a.attname), 'TABLE ' || c.oid::regclass,
               quote_ident(a.attname), n.nspname ~ '^pg_|^information_schema$', c.relowner, a.attacl, i.acl
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN initial i ON (i.classoid, i.objoid, i.objsubid) = ('pg_class'::regclass, c.oid, a.attnum)
        WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
        UNION ALL
        SELECT 'FUNCTION', p.oid::regprocedure::text, 'ROUTINE ' || p.oid::regprocedure, '', true, p.proowner, p.proacl,
               coalesce(i.acl, acldefault('f', p.proowner))
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        LEFT JOIN initial i ON (i.classoid, i.objoid) = ('pg_proc'::regclass, p.oid)
        WHERE p.proacl IS NOT NULL AND n.nspname ~ '^pg_|^information_schema$'
        UNION ALL
        SELECT 'SCHEMA', n.oid::regnamespace::text, 'SCHEMA ' || n.oid::regnamespace, '',
               n.nspname ~ '^pg_|^information_schema$', n.nspowner, n.nspacl,
               CASE WHEN n.nspname ~ '^pg_|^information_schema$' THEN i.acl END
        FROM pg_namespace n LEFT JOIN initial i ON (i.classoid, i.objoid) = ('pg_namespace'::regclass, n.oid)
        UNION ALL
        SELECT 'LANGUAGE', quote_ident(lanname), 'LANGUAGE ' || quote_ident(lanname), '', true, lanowner, lanacl,
               coalesce(i.acl, acldefault('l', lanowner))
        FROM pg_language l LEFT JOIN initial i ON (i.classoid, i.objoid) = ('pg_language'::regclass, l.oid)
        UNION ALL
        SELECT 'DATABASE', quote_ident(datname), 'DATABASE ' || quote_ident(datname), '', false, datdba,
               coalesce(datacl, acldefault('d', datdba)), NULL
        FROM pg_database WHERE datname = current_database()
        UNION ALL
        SELECT 'TABLESPACE', quote_ident(spcname), 'TABLESPACE ' || quote_ident(spcname), '', true, spcowner, spcacl,
               NULL
        FROM pg_tablespace
        UNION ALL
        SELECT 'FOREIGN SERVER', quote_ident(srvname), 'FOREIGN SERVER ' || quote_ident(srvname), '', false, srvowner,
               srvacl, NULL
        FROM pg_foreign_server
        UNION ALL
        SELECT 'FOREIGN DATA WRAPPER', quote_ident(fdwname), 'FOREIGN DATA WRAPPER ' || quote_ident(fdwname), '', false,
               fdwowner, fdwacl, NULL
        FROM pg_foreign_data_wrapper
        UNION ALL
        SELECT 'LARGE OBJECT', oid::text, 'LARGE OBJECT ' || oid, '', false, lomowner, lomacl, NULL
        FROM pg_largeobject_metadata
        UNION ALL
        SELECT 'PARAMETER', parname, 'PARAMETER ' || array_to_string(
                   ARRAY(SELECT quote_ident(part) FROM unnest(string_to_array(parname, '.')) part), '.'
               ), '', false, 10, paracl, NULL
        FROM pg_parameter_acl
    )
    SELECT kind, object, system, CASE g.grantee WHEN 0 THEN 'public' ELSE g.grantee::regrole::text END,
           g.privilege_type, bool_or(g.is_grantable), target, field, owner::oid::regrole::text,
           array_remove(array_agg(DISTINCT CASE WHEN g.grantor <> owner THEN g.grantor::regrole::text END), NULL)
    FROM acls CROSS JOIN aclexplode(acl) g
    WHERE g.grantee <> owner
      AND (g.grantee = 0 OR g.grantee = ANY (%(judged)s::oid[])
           OR (SELECT rolname FROM pg_roles WHERE oid = g.grantee) = %(maintenance)s AND NOT system)
      AND NOT EXISTS (
          SELECT FROM aclexplode(initial) i
          WHERE i.grantee = g.grantee AND i.privilege_type = g.privilege_type AND i.is_grantable >= g.is_grantable
      )
    GROUP BY 1, 2, 3, 4, 5, 7, 8, 9
    ORDER BY 1, 2, 4, 5
"""

# Those that repeat the built-in ones for every schema change nothing.
DEFAULT_GRANTS = """
    SELECT CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                                WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' END,
           d.defaclrole::regrole::text, n.oid::regnamespace::text,
           CASE g.grantee WHEN 0 THEN 'public' ELSE g.grantee::regrole::text END, g.privilege_type
    FROM pg_default_acl d
    CROSS JOIN aclexplode(d.defaclacl) g
    LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    WHERE (g.grantee = 0 OR g.grantee = ANY (%(judged)s::oid[])) AND g.grantee <> d.defaclrole
      AND NOT (d.defaclnamespace = 0 AND EXISTS (
          SELECT FROM aclexplode(acldefault(
              (CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END)::"char", d.defaclrole
          )) b
          WHERE b.grantee = g.grantee AND b.privilege_type = g.privilege_type
      ))
    ORDER BY 1, 2, 3, 4, 5
"""

# Setting names have no case. What the server's files or its command line set shows in the session that asks, which has
# no tenant and sets none of these itself; what its database or role sets is there by its own right. A role that may not
# connect, as those of another product on the server, begins no session here.
DEFAULTS = """
    WITH given (place, command, name, value) AS (
        SELECT CASE WHEN s.setrole <> 0 AND s.setdatabase <> 0
                    THEN 'ROLE ' || s.setrole::regrole || ' IN DATABASE ' || quote_ident(current_database())
                    WHEN s.setrole <> 0 THEN 'ROLE ' || s.setrole::regrole
                    WHEN s.setdatabase <> 0 THEN 'DATABASE ' || quote_ident(current_database())
                    ELSE 'ROLE ALL' END,
               'ALTER %%s RESET %%s', lower(split_part(setting, '=', 1)), substr(setting, strpos(setting, '=') + 1)
        FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) setting
        WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
          AND (s.setrole = 0 OR has_database_privilege(s.setrole, current_database(), 'CONNECT'))
        UNION ALL
        SELECT 'SYSTEM', CASE source WHEN 'command line' THEN 'on the command line of the server: take out -c %%2$s'
                              ELSE 'ALTER %%s SET %%s = ' || boot_val || '; SELECT pg_reload_conf()' END, name, setting
        FROM pg_settings
        WHERE name IN ('row_security', 'session_replication_role', 'lo_compat_privileges')
          AND source NOT IN ('default', 'database', 'user', 'database user', 'client', 'override', 'session')
        UNION ALL
        SELECT 'SYSTEM', 'ALTER %%s SET %%s = ''''; SELECT pg_reload_conf()', name, current_setting(name, true)
        FROM unnest(ARRAY['app.tenant_id', 'app.user_id']) name
        WHERE coalesce(current_setting(name, true), '') <> '' AND NOT EXISTS (
            SELECT FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) setting
            WHERE lower(split_part(setting, '=', 1)) = name
              AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
              AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
        )
    )
    SELECT place, name, value, format(command, place, array_to_string(
               ARRAY(SELECT quote_ident(part) FROM unnest(string_to_array(name, '.')) part), '.'
           ))
    FROM given
    WHERE name LIKE 'app.%%' OR name IN ('role', 'session_authorization')
       OR name = 'session_replication_role' AND value <> 'origin'
       OR name = 'row_security' AND NOT value::boolean
       OR name = 'lo_compat_privileges' AND value::boolean
    ORDER BY 1, 2
"""

# Default privileges of a role's own say what its objects will grant, not what it owns.
OWNED = """
    SELECT pg_describe_object(classid, objid, objsubid), refobjid::regrole::text FROM pg_shdepend
    WHERE refclassid = 'pg_authid'::regclass AND refobjid = ANY (%(judged)s::oid[]) AND deptype = 'o'
      AND classid <> 'pg_default_acl'::regclass
      AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    ORDER BY 1
"""
