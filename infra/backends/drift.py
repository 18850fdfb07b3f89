"""Say in what a server that runs differs from its declaration, for the cause of an operation."""

import re
from collections.abc import Iterable, Sequence

_PARAMETER = re.compile(r"([a-z][a-z_.-]*)=(.*)", re.DOTALL)


def differences(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Name what differs between two command lines: each parameter (`name=value`) with both values, then the rest."""
    was, now = _parameters(before), _parameters(after)
    named = [
        f"{name} {was.get(name, 'unset')} → {now.get(name, 'unset')}"
        for name in dict.fromkeys((*was, *now))
        if was.get(name) != now.get(name)
    ]
    other = [word for word in before if not _PARAMETER.fullmatch(word)]
    return named + (["command"] if other != [word for word in after if not _PARAMETER.fullmatch(word)] else [])


def describe_changes(changes: Iterable[str]) -> str:
    """Put differences in a sentence; where none can be shown, a password or the environment is what differs."""
    return f"its declaration changed: {', '.join(changes) or 'a password or another setting that is not shown'}"


def _parameters(words: Sequence[str]) -> dict[str, str]:
    return {found[1]: found[2] for word in words if (found := _PARAMETER.fullmatch(word))}
