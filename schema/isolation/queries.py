"""The questions to pg_catalog about objects (PostgreSQL manual, chapter 53); their columns are the fields of the data.

`judged` are the roles that the application acts as. Names are written as SQL: quoted where they must be.
"""

from typing import LiteralString

RELATIONS = """
    SELECT c.oid::regclass::text, c.relkind::text, c.relrowsecurity, c.relforcerowsecurity,
           EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid),
           format_type(a.atttypid, NULL), coalesce(a.attnotnull, false),
           EXISTS (
               SELECT FROM pg_options_to_table(c.reloptions)
               WHERE option_name = 'security_invoker' AND option_value::boolean
           ),
           ARRAY(
               SELECT privilege_type FROM aclexplode(c.relacl) WHERE grantee = 0 OR grantee = ANY (%(judged)s::oid[])
               UNION
               SELECT privilege_type FROM pg_attribute s, aclexplode(s.attacl)
               WHERE s.attrelid = c.oid AND NOT s.attisdropped
                 AND (grantee = 0 OR grantee = ANY (%(judged)s::oid[]))
               ORDER BY 1
           ),
           ARRAY(
               SELECT quote_ident(rulename) FROM pg_rewrite
               WHERE ev_class = c.oid AND rulename <> '_RETURN' ORDER BY 1
           ),
           ARRAY(
               SELECT DISTINCT quote_ident(k.conname) FROM pg_trigger t JOIN pg_constraint k ON k.oid = t.tgconstraint
               WHERE t.tgrelid = c.oid AND t.tgisinternal AND t.tgenabled IN ('D', 'R') ORDER BY 1
           ),
           c.relowner::regrole::text
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_|^information_schema$'
    ORDER BY 1
"""

POLICIES = """
    SELECT polrelid::regclass::text, quote_ident(polname), polpermissive, polcmd::text,
           ARRAY(SELECT CASE r WHEN 0 THEN 'public' ELSE r::regrole::text END FROM unnest(polroles) r ORDER BY 1),
           pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
    FROM pg_policy
    ORDER BY 1, 2
"""

# What a partition has through its parent is the parent's.
UNIQUE_KEYS = """
    SELECT i.indrelid::regclass::text, quote_ident(x.relname),
           ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true) FROM generate_series(1, i.indnkeyatts) n ORDER BY n),
           pg_get_expr(i.indpred, i.indrelid),
           CASE WHEN i.indisexclusion THEN EXISTS (
               SELECT FROM unnest(k.conkey, k.conexclop) e (attnum, operator)
               JOIN pg_operator o ON o.oid = e.operator
               WHERE e.attnum = a.attnum AND o.oprname = '='
           ) ELSE i.indkey[0] = a.attnum END,
           k.oid IS NOT NULL, i.indimmediate AND NOT i.indisexclusion,
           coalesce(pg_get_constraintdef(k.oid), pg_get_indexdef(i.indexrelid)), i.indexrelid::regclass::text
    FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_namespace n ON n.oid = x.relnamespace
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
    WHERE (i.indisunique OR i.indisexclusion) AND NOT x.relispartition AND n.nspname !~ '^pg_|^information_schema$'
    ORDER BY 1, 2
"""

FOREIGN_KEYS = """
    SELECT k.conrelid::regclass::text, quote_ident(k.conname),
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
           ),
           CASE WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END
               || CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
    WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname !~ '^pg_|^information_schema$'
    ORDER BY 1, 2
"""

# What a function does, and how: whose it is, who may call it and what it costs is left out.
_DEFINITION = """
    ARRAY[
        p.prokind::text, l.lanname, coalesce(pg_get_function_result(p.oid), ''), pg_get_function_arguments(p.oid),
        CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
        CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' ELSE 'SECURITY INVOKER' END,
        CASE WHEN p.proisstrict THEN 'STRICT' ELSE 'CALLED ON NULL INPUT' END,
        CASE WHEN p.proleakproof THEN 'LEAKPROOF' ELSE 'NOT LEAKPROOF' END,
        'PARALLEL ' || p.proparallel::text,
        array_to_string(ARRAY(SELECT unnest(p.proconfig) ORDER BY 1), E'\\n'),
        p.prosrc, coalesce(p.probin, ''), coalesce(pg_get_function_sqlbody(p.oid), '')
    ]::text[]
"""

# Of the functions in the system's schemas, those that run as their owner: initdb makes none.
FUNCTIONS: LiteralString = f"""
    SELECT p.oid::regprocedure::text, l.lanname::text, l.lanpltrusted, p.prosecdef, p.proleakproof,
           p.provolatile::text, coalesce(p.proconfig, '{{}}'), p.proowner::regrole::text, r.rolsuper OR r.rolbypassrls,
           ARRAY(
               SELECT DISTINCT CASE grantee WHEN 0 THEN 'public' ELSE grantee::regrole::text END
               FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
               WHERE grantee = 0 OR grantee = ANY (%(judged)s::oid[]) ORDER BY 1
           ),
           ARRAY(
               SELECT DISTINCT polrelid::regclass || '.' || quote_ident(polname)
               FROM pg_depend d JOIN pg_policy y ON y.oid = d.objid
               WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
               ORDER BY 1
           ),
           ARRAY(
               SELECT quote_ident(tgname) || ' ON ' || tgrelid::regclass FROM pg_trigger
               WHERE tgfoid = p.oid AND NOT tgisinternal ORDER BY 1
           ),
           EXISTS (
               SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'
           ),
           {_DEFINITION}
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_language l ON l.oid = p.prolang
    JOIN pg_roles r ON r.oid = p.proowner
    WHERE n.nspname !~ '^pg_|^information_schema$'
       OR p.prosecdef AND n.nspname IN ('pg_catalog', 'information_schema')
    ORDER BY 1
"""  # noqa: S608 - a constant of this file

# The functions in the session's temporary schema in the order of their making, and the statement that makes each.
TEMPORARY_FUNCTIONS: LiteralString = f"""
    SELECT p.oid::regprocedure::text, {_DEFINITION}, p.prosrc, pg_get_functiondef(p.oid)
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.pronamespace = pg_my_temp_schema()
    ORDER BY p.oid
"""  # noqa: S608 - a constant of this file

# Objects of users have oids from 16384 on (PostgreSQL manual, 74.2.2, and FirstNormalObjectId in access/transam.h).
# A cast belongs to no schema; WITH INOUT, the conversion is what it is without the cast. What is internal to another
# object, as the functions of a range type, goes with that.
SYSTEM_OBJECTS = """
    WITH objects (class, oid, schema, kind, name) AS (
        SELECT tableoid, oid, relnamespace,
               CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                            WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, oid::regclass::text
        FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL
        SELECT tableoid, oid, pronamespace,
               CASE prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END,
               oid::regprocedure::text
        FROM pg_proc
        UNION ALL
        SELECT tableoid, oid, oprnamespace, 'OPERATOR', oid::regoperator::text FROM pg_operator
        UNION ALL
        SELECT t.tableoid, t.oid, typnamespace, CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END,
               t.oid::regtype::text
        FROM pg_type t LEFT JOIN pg_class c ON c.oid = typrelid
        WHERE typtype IN ('b', 'd', 'e', 'r', 'c') AND typcategory <> 'A' AND coalesce(relkind, 'c') = 'c'
        UNION ALL
        SELECT tableoid, oid, 'pg_catalog'::regnamespace, 'CAST',
               concat('(', castsource::regtype, ' AS ', casttarget::regtype, ')')
        FROM pg_cast WHERE castmethod <> 'i' AND castsource < 16384 AND casttarget < 16384
    )
    SELECT kind, name FROM objects
    WHERE oid >= 16384 AND schema IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
      AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = class AND objid = objects.oid AND deptype IN ('e', 'i'))
    ORDER BY 1, 2
"""

# What shows by itself that a function of initdb's is no longer as it was made: initdb makes none in another language,
# with a setting, or that is LEAKPROOF and was written after the bootstrap, whose transaction is number 1
# (BootstrapTransactionId in access/transam.h). Neither VACUUM nor a copy of the database changes xmin; GRANT does, so
# that a function with rights of its own says nothing by it.
_BECAME_LEAKPROOF = "p.proleakproof AND p.xmin <> '1'::xid AND p.proacl IS NULL"
EVIDENTLY_CHANGED = f"(l.lanname NOT IN ('internal', 'c', 'sql') OR p.proconfig IS NOT NULL OR {_BECAME_LEAKPROOF})"

SYSTEM_FUNCTIONS: LiteralString = f"""
    SELECT p.oid::regprocedure::text, l.lanname::text, coalesce(p.proconfig, '{{}}'),
           {_BECAME_LEAKPROOF}
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.oid < 16384 AND p.pronamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
      AND {EVIDENTLY_CHANGED}
    ORDER BY 1
"""  # noqa: S608 - a constant of this file

EVENT_TRIGGERS = """
    SELECT quote_ident(evtname) FROM pg_event_trigger t
    WHERE evtenabled <> 'D' AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_event_trigger'::regclass AND objid = t.oid AND deptype = 'e'
    )
    ORDER BY 1
"""
