"""Rules on what else answers the application or runs for it: views and their like, functions, event triggers."""

from collections.abc import Iterator

from schema.isolation.catalogue import PUBLIC, Catalogue, Function
from schema.isolation.finding import Fault

_INVOKER = {f"security_invoker={word}" for word in ("true", "on", "yes", "1")}


def view_of_its_owner(catalogue: Catalogue) -> Iterator[Fault]:
    """A view is read with the rights and policies of its owner, unless it is security_invoker (CREATE VIEW, Notes)."""
    for view in catalogue.relations:
        if view.kind == "v" and view.reachable and _INVOKER.isdisjoint(view.options):
            yield Fault(
                view.name,
                "the view answers with its owner's rights",
                f"ALTER VIEW {view.name} SET (security_invoker = true)",
            )


def materialized_view(catalogue: Catalogue) -> Iterator[Fault]:
    """A materialized view holds what its owner saw, of whatever tenant, and can have no policies."""
    for view in catalogue.relations:
        if view.kind == "m" and view.reachable:
            yield Fault(
                view.name,
                "the application may read this materialized view, which no policy can guard",
                f"REVOKE ALL ON {view.name} FROM app_user, PUBLIC",
            )


def foreign_table(catalogue: Catalogue) -> Iterator[Fault]:
    """A foreign table can have no policies; whose rows the other server gives is not known here."""
    for table in catalogue.relations:
        if table.kind == "f" and table.reachable:
            yield Fault(
                table.name,
                "the application may use this foreign table, which no policy can guard",
                f"REVOKE ALL ON {table.name} FROM app_user, PUBLIC",
            )


def tenant_function_missing(catalogue: Catalogue) -> Iterator[Fault]:
    """The policies ask app.tenant_id() for the tenant; without it there is no isolation to speak of."""
    if catalogue.reachable_tables and catalogue.predicate is None:
        yield Fault("app.tenant_id()", "the function does not exist", "invoke migrate")


def security_definer_search_path(catalogue: Catalogue) -> Iterator[Fault]:
    """A SECURITY DEFINER function pins its search_path, or its caller chooses what it calls (CREATE FUNCTION)."""
    for function in _definers(catalogue):
        if not any(setting.startswith("search_path=") for setting in function.settings):
            yield Fault(
                function.signature,
                "it runs as its owner with its caller's search_path",
                f"ALTER FUNCTION {function.signature} SET search_path = ''",
            )


def security_definer_bypasses(catalogue: Catalogue) -> Iterator[Fault]:
    """A SECURITY DEFINER function belongs to a role that the policies hold, or its body alone keeps tenants apart.

    The one that finds a tenant before there is a context is on the allow-list with its reason.
    """
    for function in _definers(catalogue):
        if function.owner_bypasses:
            yield Fault(
                function.signature,
                f"it runs as {function.owner}, whom no policy holds",
                f"ALTER FUNCTION {function.signature} OWNER TO app_owner, or SECURITY INVOKER",
            )


def security_definer_for_everybody(catalogue: Catalogue) -> Iterator[Fault]:
    """Functions are executable by PUBLIC unless that is revoked; one that runs as its owner names who may call it."""
    for function in catalogue.functions:
        if function.security_definer and PUBLIC in function.executable_by:
            yield Fault(
                function.signature,
                "it runs as its owner and everybody may call it",
                f"REVOKE EXECUTE ON FUNCTION {function.signature} FROM PUBLIC",
            )


def leakproof_function(catalogue: Catalogue) -> Iterator[Fault]:
    """A LEAKPROOF function is run on rows before the policies have left them out (PostgreSQL manual, 41.5)."""
    for function in catalogue.functions:
        if function.leakproof:
            yield Fault(
                function.signature,
                "as LEAKPROOF it is shown other tenants' rows, and may tell of them",
                f"ALTER FUNCTION {function.signature} NOT LEAKPROOF",
            )


def immutable_in_policy(catalogue: Catalogue) -> Iterator[Fault]:
    """A function that a policy calls is not IMMUTABLE: a prepared plan would keep the first tenant's answer."""
    for function in catalogue.functions:
        if function.policies and function.volatility == "i":
            yield Fault(
                function.signature,
                f"prepared plans keep what it answered first, and {function.policies[0]} calls it",
                f"ALTER FUNCTION {function.signature} STABLE",
            )


def setting_in_policy(catalogue: Catalogue) -> Iterator[Fault]:
    """A function that a policy calls has no SET clause: it costs each call, and could set app.tenant_id itself."""
    for function in catalogue.functions:
        if function.policies and function.settings:
            yield Fault(
                function.signature,
                f"it sets {', '.join(function.settings)} at each call, and {function.policies[0]} calls it",
                f"ALTER FUNCTION {function.signature} RESET ALL",
            )


def untrusted_language(catalogue: Catalogue) -> Iterator[Fault]:
    """Code in an untrusted language does on the server what its operating system user may (manual, chapter 42)."""
    for function in catalogue.functions:
        if not function.trusted and not function.of_extension and (function.executable_by or function.triggers):
            yield Fault(
                function.signature,
                f"the application may call it, and {function.language} is held by no rights",
                f"REVOKE EXECUTE ON FUNCTION {function.signature} FROM app_user, PUBLIC",
            )


def event_trigger(catalogue: Catalogue) -> Iterator[Fault]:
    """An event trigger runs as whoever changes the schema, a superuser too, and may take a protection off again."""
    for name in catalogue.event_triggers:
        yield Fault(name, "it runs inside every change of the schema", f"DROP EVENT TRIGGER {name}")


def _definers(catalogue: Catalogue) -> Iterator[Function]:
    """Those that the application can cause to run; a trigger's function asks for no right when it fires."""
    return (
        function
        for function in catalogue.functions
        if function.security_definer and (function.executable_by or function.triggers)
    )
