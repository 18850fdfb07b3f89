"""The question by which `up` sees that roles, rights or extensions were changed since it made them."""

from infra.config.extensions import TEMPLATE
from infra.config.settings import Role, database_name, function_schema

_ROLES = ", ".join(f"'{role}'" for role in Role)

ROLE_STATE = f"""
    SELECT md5(concat_ws(E'\\n',
        (SELECT string_agg(r::text, E'\\n' ORDER BY rolname) FROM pg_catalog.pg_roles r WHERE rolname IN ({_ROLES})),
        (SELECT string_agg(m::text, E'\\n' ORDER BY m::text)
         FROM pg_catalog.pg_auth_members m WHERE member::pg_catalog.regrole::text IN ({_ROLES})),
        (SELECT concat_ws(' ', datdba, datallowconn, datconnlimit, datacl)
         FROM pg_catalog.pg_database WHERE datname = '{database_name()}'),
        (SELECT string_agg(concat_ws(' ', nspname, nspowner, nspacl), E'\\n' ORDER BY nspname)
         FROM pg_catalog.pg_namespace WHERE nspname IN ('public', '{function_schema()}')),
        (SELECT string_agg(extname::text, ' ' ORDER BY extname) FROM pg_catalog.pg_extension),
        (SELECT pg_catalog.shobj_description(oid, 'pg_database')
         FROM pg_catalog.pg_database WHERE datname = '{TEMPLATE}')
    ))
"""  # noqa: S608 - the names are the project's own
"""A digest of what `schema.admin.roles.ensure` looks after; any role on the database may ask."""
