"""The questions to pg_catalog (PostgreSQL manual, chapter 53); their columns are the fields of the data read.

What belongs to the system is left out by its schema, but for rights that the application was given there.
"""

RELATIONS = """
    SELECT c.oid::regclass::text, c.relkind::text, c.relrowsecurity, c.relforcerowsecurity,
           EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid),
           format_type(a.atttypid, NULL), coalesce(a.attnotnull, false), coalesce(c.reloptions, '{}'),
           ARRAY(
               SELECT privilege_type FROM aclexplode(c.relacl) WHERE grantee IN (0, to_regrole(%(user)s))
               UNION
               SELECT privilege_type FROM pg_attribute s, aclexplode(s.attacl)
               WHERE s.attrelid = c.oid AND NOT s.attisdropped AND grantee IN (0, to_regrole(%(user)s))
               ORDER BY 1
           ),
           ARRAY(SELECT rulename::text FROM pg_rewrite WHERE ev_class = c.oid AND rulename <> '_RETURN' ORDER BY 1),
           ARRAY(
               SELECT DISTINCT k.conname::text FROM pg_trigger t JOIN pg_constraint k ON k.oid = t.tgconstraint
               WHERE t.tgrelid = c.oid AND t.tgisinternal AND t.tgenabled IN ('D', 'R') ORDER BY 1
           )
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_|^information_schema$'
    ORDER BY 1
"""

POLICIES = """
    SELECT polrelid::regclass::text, polname::text, polpermissive, polcmd::text,
           ARRAY(SELECT CASE r WHEN 0 THEN 'public' ELSE r::regrole::text END FROM unnest(polroles) r ORDER BY 1),
           pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
    FROM pg_policy
    ORDER BY 1, 2
"""

# What a partition has through its parent is the parent's.
UNIQUE_KEYS = """
    SELECT i.indrelid::regclass::text, x.relname::text,
           ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true) FROM generate_series(1, i.indnkeyatts) n ORDER BY n),
           pg_get_expr(i.indpred, i.indrelid),
           CASE WHEN i.indisexclusion THEN EXISTS (
               SELECT FROM unnest(k.conkey, k.conexclop) e (attnum, operator)
               JOIN pg_operator o ON o.oid = e.operator
               WHERE e.attnum = a.attnum AND o.oprname = '='
           ) ELSE i.indkey[0] = a.attnum END,
           k.oid IS NOT NULL, i.indimmediate AND NOT i.indisexclusion,
           coalesce(pg_get_constraintdef(k.oid), pg_get_indexdef(i.indexrelid))
    FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_namespace n ON n.oid = x.relnamespace
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
    WHERE (i.indisunique OR i.indisexclusion) AND NOT x.relispartition AND n.nspname !~ '^pg_|^information_schema$'
    ORDER BY 1, 2
"""

FOREIGN_KEYS = """
    SELECT k.conrelid::regclass::text, k.conname::text,
           ARRAY(
               SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY c (n, place)
               JOIN pg_attribute ON attrelid = k.conrelid AND attnum = n ORDER BY place
           ),
           k.confrelid::regclass::text,
           ARRAY(
               SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY c (n, place)
               JOIN pg_attribute ON attrelid = k.confrelid AND attnum = n ORDER BY place
           ),
           k.confdeltype::text, k.confupdtype::text,
           ARRAY(
               SELECT attname::text FROM unnest(k.confdelsetcols) n
               JOIN pg_attribute ON attrelid = k.conrelid AND attnum = n ORDER BY 1
           )
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
    WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname !~ '^pg_|^information_schema$'
    ORDER BY 1, 2
"""

FUNCTIONS = """
    SELECT p.oid::regprocedure::text, l.lanname::text, l.lanpltrusted, p.prosecdef, p.proleakproof,
           p.provolatile::text, coalesce(p.proconfig, '{}'), r.rolname::text, r.rolsuper OR r.rolbypassrls,
           ARRAY(
               SELECT DISTINCT CASE grantee WHEN 0 THEN 'public' ELSE grantee::regrole::text END
               FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
               WHERE grantee IN (0, to_regrole(%(user)s)) ORDER BY 1
           ),
           ARRAY(
               SELECT DISTINCT polrelid::regclass || '.' || polname FROM pg_depend d JOIN pg_policy y ON y.oid = d.objid
               WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
               ORDER BY 1
           ),
           ARRAY(
               SELECT tgrelid::regclass || '.' || tgname FROM pg_trigger
               WHERE tgfoid = p.oid AND NOT tgisinternal ORDER BY 1
           ),
           EXISTS (
               SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'
           )
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_language l ON l.oid = p.prolang
    JOIN pg_roles r ON r.oid = p.proowner
    WHERE n.nspname !~ '^pg_|^information_schema$'
    ORDER BY 1
"""

# NULL in an ACL column stands for the built-in default (PostgreSQL manual, 5.7), which grants PUBLIC something on a
# database alone. Of default privileges those that repeat the built-in ones for every schema change nothing.
GRANTS = """
    WITH acls (kind, object, system, acl) AS (
        SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass::text,
               n.nspname ~ '^pg_|^information_schema$', c.relacl
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        UNION ALL
        SELECT 'COLUMN', c.oid::regclass || '.' || quote_ident(a.attname),
               n.nspname ~ '^pg_|^information_schema$', a.attacl
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
        UNION ALL
        SELECT 'FUNCTION', p.oid::regprocedure::text, true, p.proacl
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.proacl IS NOT NULL AND n.nspname ~ '^pg_|^information_schema$'
        UNION ALL
        SELECT 'SCHEMA', quote_ident(nspname), nspname ~ '^pg_|^information_schema$', nspacl FROM pg_namespace
        UNION ALL
        SELECT 'DATABASE', quote_ident(datname), false, coalesce(datacl, acldefault('d', datdba))
        FROM pg_database WHERE datname = current_database()
        UNION ALL
        SELECT 'FOREIGN SERVER', quote_ident(srvname), false, srvacl FROM pg_foreign_server
        UNION ALL
        SELECT 'FOREIGN DATA WRAPPER', quote_ident(fdwname), false, fdwacl FROM pg_foreign_data_wrapper
        UNION ALL
        SELECT 'LARGE OBJECT', oid::text, false, lomacl FROM pg_largeobject_metadata
        UNION ALL
        SELECT 'PARAMETER', parname, false, paracl FROM pg_parameter_acl
    )
    SELECT kind, object, system, CASE grantee WHEN 0 THEN 'public' ELSE grantee::regrole::text END, privilege_type,
           bool_or(is_grantable)
    FROM acls, aclexplode(acl)
    WHERE grantee = to_regrole(%(user)s) OR (grantee IN (0, to_regrole(%(maintenance)s)) AND NOT system)
    GROUP BY 1, 2, 3, 4, 5
    UNION ALL
    SELECT 'DEFAULT',
           CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                                WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' END
               || ' of ' || d.defaclrole::regrole || coalesce(' in ' || quote_ident(n.nspname), ''), false,
           CASE g.grantee WHEN 0 THEN 'public' ELSE g.grantee::regrole::text END, g.privilege_type, g.is_grantable
    FROM pg_default_acl d
    CROSS JOIN aclexplode(d.defaclacl) g
    LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    WHERE g.grantee IN (0, to_regrole(%(user)s)) AND NOT (d.defaclnamespace = 0 AND EXISTS (
        SELECT FROM aclexplode(acldefault(
            (CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END)::"char", d.defaclrole
        )) b
        WHERE b.grantee = g.grantee AND b.privilege_type = g.privilege_type
    ))
    ORDER BY 1, 2, 4, 5
"""

ROLES = """
    SELECT r.rolname::text,
           array_remove(ARRAY[
               CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
               CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
               CASE WHEN r.rolreplication THEN 'REPLICATION' END
           ], NULL),
           ARRAY(SELECT DISTINCT roleid::regrole::text FROM pg_auth_members WHERE member = r.oid ORDER BY 1)
    FROM pg_roles r
    WHERE r.rolname = ANY (%(roles)s)
    ORDER BY 1
"""

# What a file or the command line of the server sets for all shows in the session that asks, which has no tenant.
DEFAULTS = """
    SELECT CASE WHEN s.setrole = 0 THEN 'DATABASE ' || quote_ident(current_database())
                WHEN s.setdatabase = 0 THEN 'ROLE ' || s.setrole::regrole
                ELSE 'ROLE ' || s.setrole::regrole || ' IN DATABASE ' || quote_ident(current_database()) END,
           split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
    FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) setting
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    UNION ALL
    SELECT 'SYSTEM', 'app.tenant_id', current_setting('app.tenant_id', true)
    WHERE coalesce(current_setting('app.tenant_id', true), '') <> ''
    ORDER BY 1, 2
"""

EVENT_TRIGGERS = """
    SELECT evtname::text FROM pg_event_trigger t
    WHERE evtenabled <> 'D' AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_event_trigger'::regclass AND objid = t.oid AND deptype = 'e'
    )
    ORDER BY 1
"""

OWNED = """
    SELECT pg_describe_object(classid, objid, objsubid) FROM pg_shdepend
    WHERE refclassid = 'pg_authid'::regclass AND refobjid = to_regrole(%(user)s) AND deptype = 'o'
      AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    ORDER BY 1
"""
