"""What each rule means, in a sentence, for formats that list the rules beside the findings."""

from inspect import cleandoc

from schema.isolation.finding import rule_id
from schema.isolation.rules import RULES

_ATTACKS = {
    "row": "No row can be made up for a table, so that it was not attacked",
    "read": "Rows of another tenant can be read",
    "count": "Rows of another tenant can be counted",
    "lock": "Rows of another tenant can be locked",
    "copy-out": "Rows of another tenant can be copied out",
    "update": "Rows of another tenant can be changed",
    "take": "Rows of another tenant can be taken over",
    "delete": "Rows of another tenant can be deleted",
    "truncate": "A table of all tenants can be emptied",
    "insert": "Rows can be put among those of another tenant",
    "copy-in": "Rows can be copied among those of another tenant",
    "move": "A row can be moved to another tenant",
    "upsert": "A row of another tenant can be changed through a unique key",
    "reference": "A row can point at a row of another tenant",
    "changed": "Rows of another tenant were changed by an attack that seemed to fail",
}
_OTHERS = {
    **{f"probe-{name}": f"{meaning}." for name, meaning in _ATTACKS.items()},
    "as-declared": "The database is as the models declare it.",
    "system-changed": "What initdb made in the system's schemas is as the server's template0 has it.",
    "data-statement": "A statement of a migration that changes tenants' rows names the tenant, or all of them.",
    "allow-list": "An entry of the allow-list gives a reason and matches a finding.",
}


def meaning(rule: str) -> str:
    """Return what a rule demands; one of squawk's is explained by its own findings."""
    texts = {rule_id(each): " ".join(cleandoc(each.__doc__ or "").split()) for each in RULES} | _OTHERS
    return texts.get(rule, "A migration neither blocks nor breaks what uses the database while it runs.")
