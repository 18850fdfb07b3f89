"""What a change of grants, policies or roles opens or closes: one matrix held against an earlier one."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from schema.isolation.access.matrix import AS_READER, BY_POLICIES, Access, Matrix


class Effect(StrEnum):
    """What a change does; an expression that is another one is `changes`: which way, only a person can say."""

    OPENS = "opens"
    CHANGES = "changes"
    CLOSES = "closes"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, in words."""

    effect: Effect
    access: Access
    difference: str

    @property
    def opens(self) -> bool:
        """Whether more may be done than before, or whether that is for a person to say."""
        return self.effect is not Effect.CLOSES

    @property
    def place(self) -> tuple[str, ...]:
        """All but the command: a difference that several commands share is reported once."""
        access = self.access
        acting = f" (SET ROLE {access.as_role})" if access.as_role else ""
        return self.effect, f"{access.role}{acting}", f"{access.kind} {access.object}", self.difference


def changes(before: Matrix, after: Matrix) -> tuple[Change, ...]:
    """Return what differs, by role and object; another grant of the same right is no difference."""
    old, new = ({entry.key: entry for entry in matrix.access} for matrix in (before, after))
    return tuple(change for key in sorted({*old, *new}) for change in _changes(old.get(key), new.get(key)))


def _changes(old: Access | None, new: Access | None) -> Iterator[Change]:
    if old is None or new is None:
        if new is not None:
            yield Change(Effect.OPENS, new, f"by {', '.join(new.grants)}{_columns(new)}")
        elif old is not None:
            yield Change(Effect.CLOSES, old, f"was by {', '.join(old.grants)}{_columns(old)}")
        return
    yield from _on_columns(old, new)
    if old.rows != new.rows:
        yield Change(_on_rows(old.rows, new.rows), new, f"rows: {new.rows or 'none'}, were: {old.rows or 'none'}")
    elif old.policies != new.policies:
        yield from _on_policies(old, new)


def _on_columns(old: Access, new: Access) -> Iterator[Change]:
    was, now = ({*entry.columns} for entry in (old, new))
    if was and (not now or now - was):
        yield Change(Effect.OPENS, new, f"columns: {', '.join(sorted(now - was)) or 'all'}")
    if now and (not was or was - now):
        yield Change(Effect.CLOSES, new, f"columns: {', '.join(sorted(was - now)) or 'no longer all'}")


def _on_rows(old: str, new: str) -> Effect:
    guarded = {BY_POLICIES, AS_READER}
    if (old in guarded) == (new in guarded):
        return Effect.CHANGES
    return Effect.CLOSES if new in guarded else Effect.OPENS


def _on_policies(old: Access, new: Access) -> Iterator[Change]:
    was, now = ({policy.name: policy for policy in entry.policies} for entry in (old, new))
    for name in sorted({*was, *now}):
        before, after = was.get(name), now.get(name)
        if before is None and after is not None:
            effect = Effect.OPENS if after.permissive else Effect.CLOSES
            yield Change(effect, new, f"policy {name} is new: {_expressions(after.using, after.check)}")
        elif before is not None and after is None:
            effect = Effect.CLOSES if before.permissive else Effect.OPENS
            yield Change(effect, new, f"policy {name} is gone, was: {_expressions(before.using, before.check)}")
        elif before != after and before is not None and after is not None:
            now_is, was_so = _expressions(after.using, after.check), _expressions(before.using, before.check)
            kind = (
                ""
                if before.permissive == after.permissive
                else f", {'PERMISSIVE' if after.permissive else 'RESTRICTIVE'}"
            )
            yield Change(Effect.CHANGES, new, f"policy {name} is {now_is}{kind}, was: {was_so}")


def _expressions(using: str, check: str) -> str:
    words = (f"USING {using}" if using else "", f"WITH CHECK {check}" if check else "")
    return " ".join(filter(None, words)) or "without an expression"


def _columns(entry: Access) -> str:
    return f", columns {', '.join(entry.columns)}" if entry.columns else ""
