"""What is wrong with the isolation of a database, and how rules are judged."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from schema.isolation.facts import Catalogue


@dataclass(frozen=True, slots=True)
class Fault:
    """One object that breaks a rule: what is wrong, and the SQL or code to write.

    `pin` is the digest of what the object does, where it is that which is allowed.
    """

    object: str
    wrong: str
    fix: str
    pin: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault and the rule it breaks; rule and object together are what the allow-list names.

    `about` is "migrations" where a migration stands in the way of others and tenants are kept apart all the same.
    `file` and `lines` say where it is in a file of the checkout, as seen from there.
    """

    rule: str
    object: str
    wrong: str
    fix: str
    about: str = "isolation"
    file: str = ""
    lines: tuple[int, ...] = ()
    pin: str = ""

    @classmethod
    def of(cls, rule: str, fault: Fault) -> "Finding":
        """Return a rule's fault as a finding."""
        return cls(rule, fault.object, fault.wrong, fault.fix, pin=fault.pin)

    def __str__(self) -> str:
        return f"{self.rule} {self.object}: {self.wrong.rstrip('.')}. Fix: {self.fix}"


Rule = Callable[[Catalogue], Iterable[Fault]]


def rule_id(rule: Rule) -> str:
    """Return the name of a rule, as findings and the allow-list write it."""
    return rule.__name__.replace("_", "-")


def judge(catalogue: Catalogue, rules: Iterable[Rule]) -> Iterator[Finding]:
    """Hold a catalogue to each of the rules."""
    for rule in rules:
        for fault in rule(catalogue):
            yield Finding.of(rule_id(rule), fault)
