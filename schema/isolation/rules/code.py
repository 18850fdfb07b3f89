"""Rules on what else answers the application or runs for it: views and their like, event triggers, system objects."""

from collections.abc import Iterator

from schema.isolation.facts import Catalogue
from schema.isolation.finding import Fault
from schema.isolation.rules.fixes import AS_SUPERUSER, DEFINED_IN_TEMPLATE0, on_relation, revoke_all


def view_of_its_owner(catalogue: Catalogue) -> Iterator[Fault]:
    """A view is read with the rights and policies of its owner, unless it is security_invoker (CREATE VIEW, Notes)."""
    for view in catalogue.relations:
        if view.kind == "v" and view.reachable and not view.security_invoker:
            statement = f"ALTER VIEW {view.name} SET (security_invoker = true)"
            yield Fault(
                view.name, "the view answers with its owner's rights", on_relation(catalogue, view.name, statement)
            )


def materialized_view(catalogue: Catalogue) -> Iterator[Fault]:
    """A materialized view holds what its owner saw, of whatever tenant, and can have no policies."""
    for view in catalogue.relations:
        if view.kind == "m" and view.reachable:
            yield Fault(
                view.name,
                "the application may read this materialized view, which no policy can guard",
                revoke_all(catalogue, view.name),
            )


def foreign_table(catalogue: Catalogue) -> Iterator[Fault]:
    """A foreign table can have no policies; whose rows the other server gives is not known here."""
    for table in catalogue.relations:
        if table.kind == "f" and table.reachable:
            yield Fault(
                table.name,
                "the application may use this foreign table, which no policy can guard",
                revoke_all(catalogue, table.name),
            )


def event_trigger(catalogue: Catalogue) -> Iterator[Fault]:
    """An event trigger runs as whoever changes the schema, a superuser too, and may take a protection off again."""
    for name in catalogue.event_triggers:
        yield Fault(name, "it runs inside every change of the schema", f"{AS_SUPERUSER}DROP EVENT TRIGGER {name}")


def system_object(catalogue: Catalogue) -> Iterator[Fault]:
    """The system's schemas, and casts between its types, are what initdb or an extension made: they are found first."""
    for found in catalogue.system_objects:
        where = "it converts types of the system" if found.kind == "CAST" else "it stands in a schema of the system"
        yield Fault(
            f"{found.kind} {found.name}",
            f"{where}, and neither initdb nor an extension made it",
            f"{AS_SUPERUSER}DROP {found.kind} {found.name}",
        )


def system_function(catalogue: Catalogue) -> Iterator[Fault]:
    """A function of the system is in the language that initdb gave it, with no settings, and made LEAKPROOF by nobody.

    What takes more than the function itself to see is compared with template0, by `schema.isolation.system`.
    """
    for function in catalogue.system_functions:
        alter = f"{AS_SUPERUSER}ALTER FUNCTION {function.signature}"
        if function.language not in {"internal", "c", "sql"}:
            wrong = f"initdb makes no function in {function.language}: it was replaced"
            fix = DEFINED_IN_TEMPLATE0
        elif function.settings:
            wrong, fix = f"it sets {', '.join(function.settings)} at each call", f"{alter} RESET ALL"
        else:
            wrong = "it was made LEAKPROOF: it is shown other tenants' rows, and may tell of them"
            fix = f"{alter} NOT LEAKPROOF"
        yield Fault(function.signature, wrong, fix)
