"""What pyproject.toml declares for the check: what is allowed and why, and where rows come from. Pure.

[tool.groundwork.isolation.allow.unique-across-tenants]
"tenants.uq_tenants_slug" = "a request finds its tenant by its slug, before there is a context"

[tool.groundwork.isolation.factories]
invoices = "tests.factories:invoice"
"""

import tomllib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.errors import ConfigError
from schema.isolation.finding import Finding

_WHERE = "tool.groundwork.isolation"


@dataclass(frozen=True, slots=True)
class Allowed:
    """An entry of the allow-list: an object that may break a rule, and why."""

    rule: str
    object: str
    reason: str


@dataclass(frozen=True, slots=True)
class Declarations:
    """The allow-list, and for tables whose rows cannot be made up the factory of each as `module:function`."""

    allowed: tuple[Allowed, ...] = ()
    factories: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, pyproject: Path) -> "Declarations":
        """Read a pyproject.toml; one that says nothing of isolation allows nothing.

        Raises:
            ConfigError: the file cannot be read, or a value stands where none can; names file and key.
        """
        try:
            with pyproject.open("rb") as stream:
                document = tomllib.load(stream)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(
                f"{pyproject} cannot be read: {error}. It holds what the isolation check allows."
            ) from None
        section: Mapping[str, Any] = document
        for key in _WHERE.split("."):
            section = _table(section, key, pyproject)
        allow = _table(section, "allow", pyproject)
        return cls(
            tuple(
                Allowed(rule, name, _text(reason, f"allow.{rule}.{name}", pyproject))
                for rule in allow
                for name, reason in _table(allow, rule, pyproject).items()
            ),
            {
                name: _text(path, f"factories.{name}", pyproject)
                for name, path in _table(section, "factories", pyproject).items()
            },
        )


@dataclass(frozen=True, slots=True)
class Sifted:
    """Findings that are left, and the entries of the allow-list that took the others out."""

    findings: tuple[Finding, ...]
    used: tuple[Allowed, ...]


def sift(findings: Iterable[Finding], allowed: Iterable[Allowed], unjudged: Container[str] = ()) -> Sifted:
    """Take what is allowed out of the findings.

    An entry without a reason allows nothing and is a finding itself. So is one that matches nothing, unless its rule
    is among the `unjudged`.
    """
    found = list(findings)
    objects = {(finding.rule, finding.object) for finding in found}
    used, faults = [], []
    for entry in allowed:
        if not entry.reason.strip():
            faults.append(_fault(entry, "it gives no reason", "write why this object may break the rule"))
        elif (entry.rule, entry.object) in objects:
            used.append(entry)
        elif entry.rule not in unjudged:
            faults.append(_fault(entry, "nothing breaks that rule there", "remove the entry or correct its name"))
    taken = {(entry.rule, entry.object) for entry in used}
    left = [finding for finding in found if (finding.rule, finding.object) not in taken]
    return Sifted((*left, *faults), tuple(used))


def _fault(entry: Allowed, wrong: str, fix: str) -> Finding:
    return Finding("allow-list", f"{entry.rule} {entry.object}", wrong, f"{fix}, in [{_WHERE}.allow] of pyproject.toml")


def _table(within: Mapping[str, Any], key: str, pyproject: Path) -> Mapping[str, Any]:
    found = within.get(key, {})
    if not isinstance(found, Mapping):
        raise ConfigError(f"{key} in {pyproject} is no table. Write it as the README shows, under [{_WHERE}].")
    return found


def _text(value: object, key: str, pyproject: Path) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{_WHERE}.{key} in {pyproject} is no text. Write it as the README shows.")
    return value
