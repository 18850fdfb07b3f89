"""What pyproject.toml declares for the check: what is allowed and why, and where rows come from.

[tool.groundwork.isolation.allow.unique-across-tenants]
"tenants.uq_tenants_slug" = "a request finds its tenant by its slug, before there is a context"

[tool.groundwork.isolation.allow.security-definer]
"app.resolve_tenant(text, text)" = { reason = "an id is all that comes out", sha256 = "…" }

[tool.groundwork.isolation.factories]
invoices = "tests.factories:invoice"
"""

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.config.errors import ConfigError
from infra.config.ground import TABLE, read_ground, require_known
from schema.isolation.finding import Finding

_WHERE = f"{TABLE}.isolation"
_KEYS = {"allow": dict, "factories": dict}


@dataclass(frozen=True, slots=True)
class Allowed:
    """An entry of the allow-list: an object that may break a rule and why; of a function the digest of what it does."""

    rule: str
    object: str
    reason: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Declarations:
    """The allow-list, and for tables whose rows cannot be made up the factory of each as `module:function`."""

    allowed: tuple[Allowed, ...] = ()
    factories: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, pyproject: Path) -> "Declarations":
        """Read a pyproject.toml; one that says nothing of isolation allows nothing.

        Raises:
            ConfigError: the file cannot be read, a key is unknown or has a value that it cannot have; names both.
        """
        section = read_ground(pyproject).isolation
        require_known(section, _KEYS, _WHERE, pyproject)
        allow = _table(section, "allow", pyproject)
        return cls(
            tuple(
                _parse_allowed(rule, name, value, pyproject)
                for rule in allow
                for name, value in _table(allow, rule, pyproject).items()
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

    An entry without a reason allows nothing and is a finding itself. So is one that pins another digest than that of
    what it allows, and one that matches nothing, unless its rule is among the `unjudged`.
    """
    found = list(findings)
    by_name = {(finding.rule, finding.object): finding for finding in found}
    used, faults = [], []
    for entry in allowed:
        finding = by_name.get((entry.rule, entry.object))
        if not entry.reason.strip():
            faults.append(_fault(entry, "it gives no reason", "write why this object may break the rule"))
        elif finding is not None and finding.pin != entry.sha256:
            faults.append(
                _fault(entry, _other_pin(entry, finding), f'read what it does, and write sha256 = "{finding.pin}"')
            )
        elif finding is not None:
            used.append(entry)
        elif entry.rule not in unjudged:
            faults.append(_unmatched(entry, found))
    taken = {(entry.rule, entry.object) for entry in used}
    left = [finding for finding in found if (finding.rule, finding.object) not in taken]
    return Sifted((*left, *faults), tuple(used))


def _other_pin(entry: Allowed, finding: Finding) -> str:
    if not finding.pin:
        return "it pins a digest, and there is nothing to pin"
    return "what it allows has changed since" if entry.sha256 else "it does not pin what it allows"


def _unmatched(entry: Allowed, found: Iterable[Finding]) -> Finding:
    """Return the fault of an entry that matches nothing; what it may have meant says more than it does."""
    name = re.compile(rf"(.* )?{re.escape(entry.object)}( .*)?")
    meant = [each.object for each in found if each.rule == entry.rule and name.fullmatch(each.object)]
    if meant:
        return _fault(
            entry, "it does not say what it allows", f"write it as {' or '.join(f'{each!r}' for each in meant)}"
        )
    return _fault(entry, "nothing breaks that rule there", "remove the entry or correct its name")


def _fault(entry: Allowed, wrong: str, fix: str) -> Finding:
    return Finding("allow-list", f"{entry.rule} {entry.object}", wrong, f"{fix}, in [{_WHERE}.allow] of pyproject.toml")


def _parse_allowed(rule: str, name: str, value: object, pyproject: Path) -> Allowed:
    key = f"allow.{rule}.{name}"
    if not isinstance(value, Mapping):
        return Allowed(rule, name, _text(value, key, pyproject))
    if unknown := sorted(value.keys() - {"reason", "sha256"}):
        raise ConfigError(
            f"{_WHERE}.{key} in {pyproject} has {', '.join(unknown)}. Write reason and, of a function, sha256.",
            setting=f"{_WHERE}.{key}",
            file=pyproject,
        )
    reason, sha256 = (_text(value.get(word, ""), f"{key}.{word}", pyproject) for word in ("reason", "sha256"))
    return Allowed(rule, name, reason, sha256)


def _table(within: Mapping[str, Any], key: str, pyproject: Path) -> Mapping[str, Any]:
    found = within.get(key, {})
    if not isinstance(found, Mapping):
        raise ConfigError(
            f"{key} in {pyproject} is no table. Write it as schema/isolation/README.md shows, under [{_WHERE}].",
            setting=key,
            file=pyproject,
        )
    return found


def _text(value: object, key: str, pyproject: Path) -> str:
    if not isinstance(value, str):
        raise ConfigError(
            f"{_WHERE}.{key} in {pyproject} is no text. Write it as schema/isolation/README.md shows.",
            setting=f"{_WHERE}.{key}",
            file=pyproject,
        )
    return value
