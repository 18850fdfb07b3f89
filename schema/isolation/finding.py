"""What is wrong with the isolation of a database, and how rules are judged. Pure; standard library only."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from schema.isolation.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Fault:
    """One object that breaks a rule: what is wrong, and the SQL or code to write."""

    object: str
    wrong: str
    fix: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault and the rule it breaks; rule and object together are what the allow-list names."""

    rule: str
    object: str
    wrong: str
    fix: str

    @classmethod
    def of(cls, rule: str, fault: Fault) -> "Finding":
        """Return a rule's fault as a finding."""
        return cls(rule, fault.object, fault.wrong, fault.fix)

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
