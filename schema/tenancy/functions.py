"""The ground's functions, as the literal SQL that migrations carry.

They are in the schema that is called as the product. The settings app.tenant_id and app.user_id, which say for whom a
transaction is, belong to the session and are called so everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import TextClause, text

from infra.config.settings import Role, function_schema
from schema.errors import TenancyError


@dataclass(frozen=True, slots=True)
class Function:
    """A database function: how it is called in the catalogue, and the statement that makes it.

    `rights` are the statements after it that say who may call it; without them everybody may.
    """

    signature: str
    create: str
    rights: tuple[str, ...] = ()
    kind: str = "FUNCTION"

    @property
    def drop(self) -> str:
        """Return the statement that removes it."""
        return f"DROP {self.kind} {self.signature}"


_SCHEMA = function_schema()

# RFC 9562, 5.7: 48 bits of milliseconds, version, rand_a, variant, rand_b. By 6.2 method 3, rand_a holds the fraction
# of the millisecond in 1/4096ths, so ids of one server sort by time to the microsecond. The variant and 62 random bits
# are those of the version 4 id. An int2 of 0x7000 | rand_a never exceeds 0x7FFF.
UUID7 = Function(
    signature=f"{_SCHEMA}.uuid7()",
    create=f"""\
CREATE OR REPLACE FUNCTION {_SCHEMA}.uuid7() RETURNS uuid LANGUAGE plpgsql VOLATILE PARALLEL SAFE AS $$
DECLARE
  microseconds pg_catalog.int8 := pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000000;
BEGIN
  RETURN pg_catalog.encode(
    pg_catalog.substring(pg_catalog.int8send(microseconds / 1000), 3)
      || pg_catalog.int2send((28672 + microseconds % 1000 * 4096 / 1000)::pg_catalog.int2)
      || pg_catalog.substring(pg_catalog.uuid_send(pg_catalog.gen_random_uuid()), 9),
    'hex')::pg_catalog.uuid;
END $$""",
)

# Raises on both forms of "not set": NULL on a new connection, '' after a transaction that had set it. STABLE, because
# an IMMUTABLE one is folded into prepared plans and would keep the first tenant's id.
TENANT_ID = Function(
    signature=f"{_SCHEMA}.tenant_id()",
    create=f"""\
CREATE OR REPLACE FUNCTION {_SCHEMA}.tenant_id() RETURNS uuid LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE t pg_catalog.text := pg_catalog.current_setting('app.tenant_id', true);
BEGIN
  IF t IS NULL OR t OPERATOR(pg_catalog.=) '' THEN
    RAISE EXCEPTION 'app.tenant_id is not set' USING ERRCODE = '42501'; END IF;
  RETURN t::pg_catalog.uuid;
END $$""",
)

# Of the trigger that each tenant table has: plain SQL moves the time as well as SQLAlchemy does.
SET_UPDATED_AT = Function(
    signature=f"{_SCHEMA}.set_updated_at()",
    create=f"""\
CREATE OR REPLACE FUNCTION {_SCHEMA}.set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := pg_catalog.now();
  RETURN NEW;
END $$""",
)

# Both of the directory run as its owner, which no policy lets see past one tenant: the directory has no policies, and
# no role but the owner has a right on it. An id is all that comes out.
KEEP_TENANT_DIRECTORY = Function(
    signature=f"{_SCHEMA}.keep_tenant_directory()",
    create=f"""\
CREATE OR REPLACE FUNCTION {_SCHEMA}.keep_tenant_directory() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO public.tenant_directory (tenant_id, slug, external_id)
    VALUES (NEW.tenant_id, NEW.slug, NEW.external_id)
    ON CONFLICT (tenant_id) DO UPDATE SET slug = EXCLUDED.slug, external_id = EXCLUDED.external_id;
  RETURN NULL;
END $$""",  # noqa: S608 - the schema is the project's own
    rights=(f"REVOKE EXECUTE ON FUNCTION {_SCHEMA}.keep_tenant_directory() FROM PUBLIC",),
)
RESOLVE_TENANT = Function(
    signature=f"{_SCHEMA}.resolve_tenant(text, text)",
    create=f"""\
CREATE OR REPLACE FUNCTION {_SCHEMA}.resolve_tenant(by_slug text, by_external_id text) RETURNS uuid
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT tenant_id FROM public.tenant_directory
    WHERE slug = by_slug AND by_external_id IS NULL OR external_id = by_external_id AND by_slug IS NULL);
END $$""",  # noqa: S608 - the schema is the project's own
    rights=(
        f"REVOKE EXECUTE ON FUNCTION {_SCHEMA}.resolve_tenant(text, text) FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {_SCHEMA}.resolve_tenant(text, text) TO {Role.USER}",
    ),
)

FUNCTIONS = [UUID7, TENANT_ID, SET_UPDATED_AT, KEEP_TENANT_DIRECTORY, RESOLVE_TENANT]
"""Every declared function, the ground's first; the product's are added by `declare_function` when it is imported."""


def declare_function(signature: str, create: str, *, rights: Sequence[str] = (), kind: str = "FUNCTION") -> Function:
    """Declare a function of the product's, so that the migrations make it: a trigger's, a policy's, one for reports.

        declare_function("app.audit()", "CREATE OR REPLACE FUNCTION app.audit() RETURNS trigger …")

    `signature` is its name with the types of its arguments, `create` a CREATE OR REPLACE, `rights` the statements that
    say who may call it; without them everybody may. `kind` is FUNCTION, PROCEDURE or AGGREGATE.

    Raises:
        TenancyError: one of this signature is declared already.
    """
    if any(signature == function.signature for function in FUNCTIONS):
        raise TenancyError(f"The function {signature} is declared twice. Give one of them another name.")
    FUNCTIONS.append(Function(signature, create, tuple(rights), kind))
    return FUNCTIONS[-1]


def new_id() -> TextClause:
    """Return the server default of an id column: a new time-ordered uuid."""
    return text(UUID7.signature)
