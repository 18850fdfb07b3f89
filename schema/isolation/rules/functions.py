"""Rules on functions: those on which the policies rest, and those that do for their caller what it may not."""

from collections.abc import Iterator

from infra.config.settings import function_schema
from schema.isolation.facts import PUBLIC, Catalogue, DeclaredFunction, Function
from schema.isolation.finding import Fault
from schema.isolation.rules.fixes import AS_SUPERUSER, by_owner_of, grantee

_TENANT = f"{function_schema()}.tenant_id()"
_PARTS = (
    *("kind", "language", "result", "arguments", "volatility", "security", "call on NULL", "leakproofness"),
    *("parallel safety", "settings", "body", "library", "body"),
)


def tenant_function_missing(catalogue: Catalogue) -> Iterator[Fault]:
    """The policies ask the function tenant_id() for the tenant; without it there is no isolation to speak of."""
    if catalogue.reachable_tables and catalogue.predicate is None:
        yield Fault(_TENANT, "the function does not exist", _declarations(catalogue)[_TENANT].statement)


def function_changed(catalogue: Catalogue) -> Iterator[Fault]:
    """A declared function does what is declared: policies, triggers and sign-in rest on them."""
    declared = _declarations(catalogue)
    for function in catalogue.functions:
        wanted = declared.get(function.signature)
        if wanted is not None and wanted.definition != function.definition:
            parts = zip(_PARTS, function.definition, wanted.definition, strict=True)
            differing = dict.fromkeys(part for part, there, here in parts if there != here)
            yield Fault(
                function.signature,
                f"its {' and '.join(differing)} is not the declared one",
                _restore(catalogue, function),
            )


def function_undeclared(catalogue: Catalogue) -> Iterator[Fault]:
    """A function that a policy or a trigger calls is declared, or on the allow-list with its reason and its digest."""
    declared = _declarations(catalogue)
    for function in catalogue.functions:
        callers = (*function.policies, *function.triggers)
        if callers and function.signature not in declared and not function.of_extension:
            yield Fault(
                function.signature,
                f"{callers[0]} calls it, and no declaration says what it does; its sha256 is {function.sha256}",
                "in schema/tenancy/functions.py: declare it",
                function.sha256,
            )


def security_definer(catalogue: Catalogue) -> Iterator[Fault]:
    """A function that does with its owner's rights what its caller may not is on the allow-list, with its digest."""
    declared = _declarations(catalogue)
    for function in _definers(catalogue):
        wanted = declared.get(function.signature)
        if wanted is None:
            fix = _alter(catalogue, function, "SECURITY INVOKER")
        elif wanted.definition != function.definition:
            fix = _restore(catalogue, function)
        else:
            fix = "in pyproject.toml: allow it with a reason and that sha256"
        yield Fault(
            function.signature,
            f"it does with the rights of {function.owner} what its caller may not; its sha256 is {function.sha256}",
            fix,
            function.sha256,
        )


def security_definer_search_path(catalogue: Catalogue) -> Iterator[Fault]:
    """A SECURITY DEFINER function pins its search_path, or its caller chooses what it calls (CREATE FUNCTION).

    Temporary tables and types come first where pg_temp is not on the path, which therefore ends with it.
    """
    for function in _definers(catalogue):
        path = _search_path(function)
        if path is None or path[-1:] != ["pg_temp"]:
            pinned = [schema for schema in path or () if schema not in {'""', "pg_temp"}] or ["pg_catalog"]
            # A setting would cost each row that a policy looks at, and is a finding itself.
            change = "SECURITY INVOKER" if function.policies else f"SET search_path = {', '.join(pinned)}, pg_temp"
            yield Fault(
                function.signature,
                "it runs as its owner, with what is temporary before all else"
                if path
                else "it runs as its owner with its caller's search_path",
                _alter(catalogue, function, change),
            )


def security_definer_bypasses(catalogue: Catalogue) -> Iterator[Fault]:
    """A SECURITY DEFINER function belongs to a role that the policies hold, or its body alone keeps tenants apart."""
    for function in _definers(catalogue):
        if function.owner_bypasses:
            yield Fault(
                function.signature,
                f"it runs as {function.owner}, which no policy holds",
                f"{AS_SUPERUSER}ALTER {function.kind} {function.signature} OWNER TO {catalogue.owner}",
            )


def security_definer_for_everybody(catalogue: Catalogue) -> Iterator[Fault]:
    """Functions are executable by PUBLIC unless that is revoked; one that runs as its owner names who may call it."""
    for function in catalogue.functions:
        if function.security_definer and PUBLIC in function.executable_by:
            yield Fault(
                function.signature,
                "it runs as its owner and everybody may call it",
                by_owner_of(
                    catalogue, function.owner, f"REVOKE EXECUTE ON {function.kind} {function.signature} FROM PUBLIC"
                ),
            )


def leakproof_function(catalogue: Catalogue) -> Iterator[Fault]:
    """A LEAKPROOF function is run on rows before the policies have left them out (PostgreSQL manual, 41.5)."""
    for function in catalogue.functions:
        if function.leakproof:
            yield Fault(
                function.signature,
                "as LEAKPROOF it is shown other tenants' rows, and may tell of them",
                _alter(catalogue, function, "NOT LEAKPROOF"),
            )


def immutable_in_policy(catalogue: Catalogue) -> Iterator[Fault]:
    """A function that a policy calls is not IMMUTABLE: a prepared plan would keep the first tenant's answer."""
    for function in catalogue.functions:
        if function.policies and function.volatility == "i":
            yield Fault(
                function.signature,
                f"prepared plans keep what it answered first, and {function.policies[0]} calls it",
                _alter(catalogue, function, "STABLE"),
            )


def setting_in_policy(catalogue: Catalogue) -> Iterator[Fault]:
    """A function that a policy calls has no SET clause: it costs each call, and could set app.tenant_id itself."""
    for function in catalogue.functions:
        if function.policies and function.settings:
            # Without its search_path it may no longer run as its owner.
            security = "SECURITY INVOKER " if function.security_definer else ""
            yield Fault(
                function.signature,
                f"it sets {', '.join(function.settings)} at each call, and {function.policies[0]} calls it",
                _alter(catalogue, function, f"{security}RESET ALL"),
            )


def untrusted_language(catalogue: Catalogue) -> Iterator[Fault]:
    """Code in an untrusted language does on the server what its operating system user may (manual, chapter 42)."""
    for function in catalogue.functions:
        if not function.trusted and not function.of_extension and (function.executable_by or function.triggers):
            holders = ", ".join(map(grantee, function.executable_by))
            statements = [f"DROP TRIGGER {trigger}" for trigger in function.triggers]
            if holders:
                statements.append(f"REVOKE EXECUTE ON {function.kind} {function.signature} FROM {holders}")
            yield Fault(
                function.signature,
                f"the application may call it, and {function.language} is bound by no rights",
                AS_SUPERUSER + "; ".join(statements),
            )


def _declarations(catalogue: Catalogue) -> dict[str, DeclaredFunction]:
    return {function.signature: function for function in catalogue.declared_functions}


def _definers(catalogue: Catalogue) -> Iterator[Function]:
    """Those that the application can cause to run; a trigger's function asks for no right when it fires."""
    return (
        function
        for function in catalogue.functions
        if function.security_definer and (function.executable_by or function.triggers)
    )


def _search_path(function: Function) -> list[str] | None:
    """Return the schemas that a function looks for names in, as SQL; None where its caller says."""
    for setting in function.settings:
        name, _, path = setting.partition("=")
        if name == "search_path":
            return path.split(", ")
    return None


def _alter(catalogue: Catalogue, function: Function, change: str) -> str:
    return by_owner_of(catalogue, function.owner, f"ALTER {function.kind} {function.signature} {change}")


def _restore(catalogue: Catalogue, function: Function) -> str:
    """Return what makes a function as it is declared; one of another result or arguments cannot be replaced."""
    wanted = _declarations(catalogue)[function.signature]
    drop = f"DROP {function.kind} {function.signature}"
    heads = [(made[0], made[2], made[3]) for made in (function.definition, wanted.definition)]
    return by_owner_of(catalogue, function.owner, *((drop,) if heads[0] != heads[1] else ()), wanted.statement)
