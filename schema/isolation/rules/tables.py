"""Rules on the tables that the application may read or write: whose rows they are, and what guards them."""

from collections.abc import Iterator

from schema.isolation.facts import PUBLIC, Catalogue, Policy, Relation
from schema.isolation.finding import Fault
from schema.isolation.rules.fixes import AS_SUPERUSER, grantee, on_relation, revoke_all
from schema.tenancy.policies import PERMIT, PREDICATE, RESTRICT, UPDATED_AT_TRIGGER

KINDS = {PERMIT: True, RESTRICT: False}
_ROWS = ("SELECT", "INSERT", "UPDATE", "DELETE")


def tenant_column(catalogue: Catalogue) -> Iterator[Fault]:
    """A table that the application reaches says whose its rows are, or all tenants share them.

    What is meant to be shared, such as a list of currencies, is on the allow-list with its reason, command by command:
    what one tenant may write there others read.
    """
    for table in catalogue.relations:
        if table.is_table and table.reachable and table.tenant_type is None:
            for command in _ROWS:
                if command in table.privileges:
                    yield Fault(
                        f"{command} ON TABLE {table.name}",
                        f"the application may {command} there, and no column says whose its rows are",
                        revoke_all(catalogue, table.name, command),
                    )


def tenant_column_type(catalogue: Catalogue) -> Iterator[Fault]:
    """tenant_id is a uuid: the policies compare it with one, and a cast would keep them from using an index."""
    for table in catalogue.reachable_tables:
        if table.tenant_type != "uuid":
            yield Fault(table.name, f"tenant_id is of type {table.tenant_type}", _retype(catalogue, table.name))


def _retype(catalogue: Catalogue, table: str) -> str:
    """Return what makes tenant_id a uuid; no policy may name a column whose type changes (ALTER TABLE)."""
    policies = [policy for policy in catalogue.policies if policy.table == table]
    return on_relation(
        catalogue,
        table,
        *(f"DROP POLICY {policy.name} ON {table}" for policy in policies),
        f"ALTER TABLE {table} ALTER tenant_id TYPE uuid USING tenant_id::text::uuid",
        *(_create(table, policy.name) if policy.name in KINDS else _as_it_was(policy) for policy in policies),
    )


def tenant_column_nullable(catalogue: Catalogue) -> Iterator[Fault]:
    """tenant_id is NOT NULL: a foreign key with a NULL in it is not checked (PostgreSQL manual, 5.4.5)."""
    for name, table in catalogue.tables_of_tenants().items():
        if table.reachable and not table.tenant_not_null:
            fix = f"ALTER TABLE {name} ALTER tenant_id SET NOT NULL"
            yield Fault(name, "tenant_id may be NULL", on_relation(catalogue, name, fix))


def table_unprotected(catalogue: Catalogue) -> Iterator[Fault]:
    """A table that no model of a tenant's declares is not meant for the application.

    Policies would not do for the directory, which is asked before there is a tenant, and what no model declares the
    next migration takes off again. A declared table is known by its trigger, or by a policy that is left.
    """
    for table in catalogue.reachable_tables:
        if not table.child and _is_bare(table, catalogue):
            yield Fault(
                table.name,
                "the application may read or write it, and nothing keeps one tenant's rows from another",
                revoke_all(catalogue, table.name),
            )


def _is_bare(table: Relation, catalogue: Catalogue) -> bool:
    named = any(policy.table == table.name and policy.name in KINDS for policy in catalogue.policies)
    touched = any(f"{UPDATED_AT_TRIGGER.name} ON {table.name}" in function.triggers for function in catalogue.functions)
    return not (named or touched)


def row_security_off(catalogue: Catalogue) -> Iterator[Fault]:
    """Without ENABLE ROW LEVEL SECURITY no policy is applied (PostgreSQL manual, 5.8)."""
    for table in _whole(catalogue):
        if not table.row_security:
            yield Fault(
                table.name,
                "row level security is off, so that every tenant's rows are open",
                on_relation(catalogue, table.name, f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY"),
            )


def row_security_not_forced(catalogue: Catalogue) -> Iterator[Fault]:
    """Without FORCE the owner is not bound, nor is what runs as the owner (PostgreSQL manual, 5.8)."""
    for table in _whole(catalogue):
        if not table.forced:
            yield Fault(
                table.name,
                "row level security does not bind its owner, nor what runs as the owner",
                on_relation(catalogue, table.name, f"ALTER TABLE {table.name} FORCE ROW LEVEL SECURITY"),
            )


def policy_missing(catalogue: Catalogue) -> Iterator[Fault]:
    """A table has both policies of the pair: the permissive one shows a tenant its rows, the restrictive one holds.

    Without the restrictive one any later permissive policy would widen what a tenant sees.
    """
    present = {(policy.table, policy.name, policy.permissive) for policy in catalogue.policies}
    for table in _whole(catalogue):
        for name, permissive in KINDS.items():
            if (table.name, name, permissive) not in present:
                yield Fault(
                    f"{table.name}.{name}",
                    f"the {'PERMISSIVE' if permissive else 'RESTRICTIVE'} policy of the pair is not there",
                    on_relation(
                        catalogue,
                        table.name,
                        f"DROP POLICY IF EXISTS {name} ON {table.name}",
                        _create(table.name, name),
                    ),
                )


def policy_predicate(catalogue: Catalogue) -> Iterator[Fault]:
    """Both expressions of both policies are the declared predicate, as PostgreSQL itself writes it."""
    for policy in _pair(catalogue):
        wrong = [
            f"{clause} is {found or 'missing'}"
            for clause, found in (("USING", policy.using), ("WITH CHECK", policy.check))
            if found is None or found != catalogue.predicate
        ]
        if wrong:
            # A policy for one command may have but one of the two.
            yield Fault(_of(policy), " and ".join(wrong), _again(catalogue, policy))


def policy_command(catalogue: Catalogue) -> Iterator[Fault]:
    """Both policies are FOR ALL: a command that has no policy silently touches nothing, or is not limited at all."""
    for policy in _pair(catalogue):
        if policy.command != "*":
            yield Fault(_of(policy), "it holds for one command alone", _again(catalogue, policy))


def policy_role(catalogue: Catalogue) -> Iterator[Fault]:
    """Both policies hold for everybody: a restrictive one TO a role binds no other role."""
    for policy in _pair(catalogue):
        if policy.roles != (PUBLIC,):
            yield Fault(
                _of(policy),
                f"it holds for {', '.join(policy.roles)} alone",
                on_relation(catalogue, policy.table, f"ALTER POLICY {policy.name} ON {policy.table} TO PUBLIC"),
            )


def policy_permissive(catalogue: Catalogue) -> Iterator[Fault]:
    """No other policy is permissive: permissive ones are joined by OR, so each can only widen (manual, 5.8)."""
    tables = {table.name for table in catalogue.reachable_tables}
    for policy in catalogue.policies:
        if policy.table in tables and policy.permissive and policy.name not in KINDS:
            yield Fault(
                _of(policy),
                "it is PERMISSIVE, not AS RESTRICTIVE, and could widen what a tenant sees: "
                f"USING {policy.using}, WITH CHECK {policy.check}",
                on_relation(catalogue, policy.table, f"DROP POLICY {policy.name} ON {policy.table}"),
            )


def partition_unprotected(catalogue: Catalogue) -> Iterator[Fault]:
    """A partition or child that is reached by its own name is bound by its own policies alone (manual, 5.10)."""
    held = {
        (policy.table, policy.name)
        for policy in catalogue.policies
        if policy.permissive is KINDS.get(policy.name)
        and (policy.command, policy.roles) == ("*", (PUBLIC,))
        and policy.using == policy.check == catalogue.predicate
    }
    for table in catalogue.reachable_tables:
        whole = table.row_security and table.forced and all((table.name, name) in held for name in KINDS)
        if table.child and not whole:
            yield Fault(
                table.name,
                "the application reaches this partition or child beside its parent, whose policies do not hold there",
                revoke_all(catalogue, table.name),
            )


def rewrite_rule(catalogue: Catalogue) -> Iterator[Fault]:
    """A table or view has no rule of its own: what a rule does is done with its owner's rights (manual, 41.5)."""
    for relation in catalogue.relations:
        if relation.reachable or relation.of_tenants:
            for rule in relation.rules:
                yield Fault(
                    f"{relation.name}.{rule}",
                    "the rule, unlike a trigger, puts other statements in the place of the application's, with its "
                    "owner's rights",
                    on_relation(catalogue, relation.name, f"DROP RULE {rule} ON {relation.name}"),
                )


def foreign_key_disabled(catalogue: Catalogue) -> Iterator[Fault]:
    """A foreign key whose triggers are disabled is not checked, so that rows may point at another tenant's."""
    for name, table in catalogue.tables_of_tenants().items():
        for key in table.disabled:
            yield Fault(
                f"{name}.{key}",
                "its triggers are disabled on this table",
                f"{AS_SUPERUSER}ALTER TABLE {name} ENABLE TRIGGER ALL",
            )


def invalid_index(catalogue: Catalogue) -> Iterator[Fault]:
    """Every index is valid: a unique one that is not does not hold, and any other costs writes and serves no query."""
    for index in catalogue.invalid_indexes:
        yield Fault(index.name, index.wrong, on_relation(catalogue, index.table, index.statement))


def _whole(catalogue: Catalogue) -> Iterator[Relation]:
    """Return the tables that carry the protection themselves, if not all of it; of children that is asked elsewhere."""
    return (table for table in catalogue.reachable_tables if not table.child and not _is_bare(table, catalogue))


def _pair(catalogue: Catalogue) -> Iterator[Policy]:
    names = {table.name for table in _whole(catalogue)}
    return (
        policy for policy in catalogue.policies if policy.table in names and KINDS.get(policy.name) is policy.permissive
    )


def _of(policy: Policy) -> str:
    return f"{policy.table}.{policy.name}"


def _again(catalogue: Catalogue, policy: Policy) -> str:
    drop = f"DROP POLICY {policy.name} ON {policy.table}"
    return on_relation(catalogue, policy.table, drop, _create(policy.table, policy.name))


def _create(table: str, name: str) -> str:
    kind = "PERMISSIVE" if KINDS[name] else "RESTRICTIVE"
    return f"CREATE POLICY {name} ON {table} AS {kind} FOR ALL USING ({PREDICATE}) WITH CHECK ({PREDICATE})"


def _as_it_was(policy: Policy) -> str:
    kind = "PERMISSIVE" if policy.permissive else "RESTRICTIVE"
    command = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}.get(policy.command, "ALL")
    clauses = (("USING", policy.using), ("WITH CHECK", policy.check))
    written = "".join(f" {clause} ({found})" for clause, found in clauses if found is not None)
    roles = ", ".join(map(grantee, policy.roles))
    return f"CREATE POLICY {policy.name} ON {policy.table} AS {kind} FOR {command} TO {roles}{written}"
