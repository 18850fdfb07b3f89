"""Migrations that end in several files: the branches, what a database has applied of them, and the advice."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property

from schema.errors import MigrationError
from schema.migration.apply.ledger import Entry
from schema.migration.file_order import MigrationFile, slug_of


@dataclass(frozen=True, slots=True)
class Applied:
    """What a database says is applied: the revisions it is at, and its ledger; `place` names the database."""

    place: str
    at: tuple[str, ...] = ()
    entries: Mapping[str, Entry] = field(default_factory=dict)

    @property
    def last_number(self) -> int:
        """The highest number that the database knows, whether or not this checkout has the file."""
        return max((int(revision) for revision in (*self.at, *self.entries) if revision.isdecimal()), default=0)

    def of(self, files: Iterable[MigrationFile]) -> list[MigrationFile]:
        """Return the files that are applied. Of several with one number the ledger says which."""
        every = list(files)
        found: dict[str, MigrationFile] = {}
        seen, left = set[str](), list(self.at)
        while left:
            revision = left.pop()
            if revision not in seen:
                seen.add(revision)
                entry = self.entries.get(revision)
                candidates = [file for file in every if file.revision == revision]
                if (file := _file_of(entry, candidates)) is not None:
                    found[revision] = file
                left += entry.follows if entry else found[revision].follows if revision in found else ()
        return list(found.values())


def _file_of(entry: Entry | None, candidates: Sequence[MigrationFile]) -> MigrationFile | None:
    if entry is None:
        return candidates[0] if len(candidates) == 1 else None
    same = (file for file in candidates if file.name == entry.file or file.sha256 == entry.sha256)
    return next(same, None)


class Branches:
    """The graph of a checkout's migrations, files being its nodes: two may have the same number.

    Which of them a file follows is said by the comment of a generated file, by the ledger for an applied file, or by
    elimination: each but one of them has a follower of its own. `together` are files that are said to be one branch.
    """

    def __init__(
        self, files: Iterable[MigrationFile], applied: Applied | None = None, together: Collection[MigrationFile] = ()
    ) -> None:
        self.files = tuple(files)
        self.applied = applied
        self.done = applied.of(self.files) if applied else []
        self._together = together
        self._possible = {file: [self._candidates(file, revision) for revision in file.follows] for file in self.files}
        while self._eliminated():
            pass

    @cached_property
    def parents(self) -> dict[MigrationFile, list[MigrationFile]]:
        """The files that each file follows; where that is unclear, all that it may follow."""
        return {
            file: [parent for candidates in every for parent in candidates] for file, every in self._possible.items()
        }

    @property
    def twins(self) -> list[MigrationFile]:
        """The files whose number another file has as well."""
        numbers = [file.revision for file in self.files]
        return [file for file in self.files if numbers.count(file.revision) > 1]

    def require_clear(self) -> None:
        """Accept nothing but files of which it is known which files they follow.

        Raises:
            MigrationError: a file follows one that is not there, or may follow several.
        """
        for file, every in self._possible.items():
            for revision, candidates in zip(file.follows, every, strict=True):
                if not candidates:
                    raise _missing(self, file, revision)
                if len(candidates) > 1:
                    raise _unclear(self, file, candidates)

    @property
    def heads(self) -> list[MigrationFile]:
        """The files that no file follows."""
        followed = {parent for every in self.parents.values() for parent in every}
        return [file for file in self.files if file not in followed]

    @property
    def parted(self) -> bool:
        """Whether there is more than one way to the end."""
        return len(self.heads) > 1 or bool(self.twins)

    def through(self, *files: MigrationFile) -> list[MigrationFile]:
        """Return these files and all that they follow."""
        found, left = list[MigrationFile](), list(files)
        while left:
            if (file := left.pop()) not in found:
                found.append(file)
                left += self.parents[file]
        return found

    def heads_after(self, file: MigrationFile) -> list[MigrationFile]:
        """Return the heads that a file leads to."""
        return [head for head in self.heads if file in self.through(head)]

    def own(self, heads: Collection[MigrationFile]) -> list[MigrationFile]:
        """Return what only these heads lead back to, each file after those that it follows."""
        shared = set(self.through(*(head for head in self.heads if head not in heads)))
        return self.in_order(set(self.through(*heads)) - shared)

    def in_order(self, files: Collection[MigrationFile]) -> list[MigrationFile]:
        """Return files so that each is after those that it follows or depends on; numbers decide between others."""
        left, ordered = sorted(files, key=lambda file: (file.number, file.name)), list[MigrationFile]()
        while left:
            ready = next((file for file in left if not self._before(file) & set(left)), left[0])
            left.remove(ready)
            ordered.append(ready)
        return ordered

    def _before(self, file: MigrationFile) -> set[MigrationFile]:
        needed = {other for other in self.files if other.revision in file.depends_on and other != file}
        return {*self.parents[file], *needed}

    def _candidates(self, file: MigrationFile, revision: str) -> list[MigrationFile]:
        candidates = [other for other in self.files if other.revision == revision]
        if len(candidates) < 2:
            return candidates
        if named := [candidate for candidate in candidates if candidate.name in file.followed_files]:
            return named
        if file in self.done:
            return [candidate for candidate in candidates if candidate in self.done] or candidates
        if self._together:
            inside = file in self._together
            return [candidate for candidate in candidates if (candidate in self._together) is inside] or candidates
        return candidates

    def _eliminated(self) -> bool:
        """Drop candidates that another file is known to follow, while one is left; return whether something changed."""
        taken = {candidates[0] for every in self._possible.values() for candidates in every if len(candidates) == 1}
        for every in self._possible.values():
            for index, candidates in enumerate(every):
                free = [candidate for candidate in candidates if candidate not in taken]
                if len(candidates) > 1 and len(free) == 1:
                    every[index] = free
                    return True
        return False


def branched(branches: Branches, folder: str) -> MigrationError:
    """Return the error that names the branches and the command that works for what the database has applied."""
    lines = [branches.own([head]) for head in branches.in_order(branches.heads)]
    named = _and([" → ".join(file.name for file in files) for files in lines])
    return MigrationError(
        f"The migrations in {folder} part into {len(lines)} branches, {named}. {_advice(branches, lines)} "
        "Nothing was changed.",
        files=tuple(file.name for files in lines for file in files),
    )


def _missing(branches: Branches, file: MigrationFile, revision: str) -> MigrationError:
    entry = branches.applied.entries.get(revision) if branches.applied else None
    back = (
        f"`invoke history --show {revision} > {file.path.with_name(entry.file)}`" if entry else "the branch that has it"
    )
    return MigrationError(
        f"{file.name} follows revision {revision}, and no file of {file.path.parent} is that. Take the file back from "
        f"{back}. Nothing was changed.",
        files=(file.name,),
        revision=revision,
    )


def _unclear(branches: Branches, file: MigrationFile, twins: Sequence[MigrationFile]) -> MigrationError:
    number = twins[0].revision
    example = next((twin for twin in twins if twin not in branches.done), twins[0])
    followers = [other for other in branches.files if number in other.follows and other not in branches.done]
    wanted = slug_of(example.name)
    likely = max(followers, key=lambda follower: SequenceMatcher(None, slug_of(follower.name), wanted).ratio())
    return MigrationError(
        f"{file.name} follows {number}, which {_and([twin.name for twin in twins])} both are, and nothing says which "
        f"of them. {_state(branches)} Name every file of the branch that no database has applied, such as "
        f"`invoke generate --rebase {example.name},{likely.name}`. Nothing was changed.",
        files=(file.name, *(twin.name for twin in twins)),
        revision=number,
    )


def _advice(branches: Branches, lines: list[list[MigrationFile]]) -> str:
    begun = [files for files in lines if any(file in branches.done for file in files)]
    free = [files for files in lines if files not in begun]
    join = "or join them: `invoke generate --merge`."
    if len(begun) > 1:
        return f"{_state(branches)} Join them: `invoke generate --merge`."
    if not begun:
        either = " or ".join(f"`invoke generate --rebase {files[0].name}`" for files in lines)
        other = "" if branches.applied is None else "other "
        return f"{_state(branches)} Put the one that no {other}database has applied after the other: {either}, {join}"
    commands = ", then ".join(f"`invoke generate --rebase {files[0].name}`" for files in free)
    return f"{_state(branches)} Put the other after it: {commands}, {join} {take_back(branches, begun[0])}"


def take_back(branches: Branches, files: Sequence[MigrationFile]) -> str:
    """Return what to do where another database has applied the other branch: take back what this one has."""
    count = sum(file in branches.done for file in files)
    return (
        f"If another database, such as production, has applied the other branch already, first take {_it(count)} back "
        f"in this one: `invoke rollback --as-applied --steps {count}`, then `invoke generate --rebase {files[0].name}`."
    )


def _state(branches: Branches) -> str:
    """Return what the database that was asked has applied of what is not common to all branches."""
    if branches.applied is None:
        return "No database could be asked what it has applied."
    common = set.intersection(*(set(branches.through(head)) for head in branches.heads))
    files = [file.name for file in branches.in_order(branches.done) if file not in common]
    others = sorted(_elsewhere(branches))
    beside = f" It also has {_and(others)}, which this checkout does not hold." if others else ""
    place = branches.applied.place
    return f"{place[:1].upper()}{place[1:]} has applied {_and(files) or 'none of them'}.{beside}"


def _elsewhere(branches: Branches) -> Iterator[str]:
    """Yield the files that the ledger has applied and the checkout does not hold under that number."""
    entries = branches.applied.entries.values() if branches.applied else ()
    known = {file.revision for file in branches.done}
    yield from (entry.file for entry in entries if entry.revision not in known)


def _and(words: Sequence[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def _it(count: int) -> str:
    return "it" if count == 1 else f"the {count}"
