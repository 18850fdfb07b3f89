"""Two developers with two migrations each, whose branches are merged: the printed advice leads to one end.

The kind: whatever was applied where before the merge, and whoever reads the advice first, following it literally ends
in one head, on every database, with the schema that a fresh database gets from the same files.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import BigInteger, Column, Identity, MetaData, Table

from infra.config.settings import Role
from schema.client.connection import connect
from schema.errors import MigrationError
from schema.isolation.check import check
from schema.migration.apply.applied import ask
from schema.migration.apply.as_applied import checkout_as_applied
from schema.migration.apply.rollback import rollback
from schema.migration.apply.status import State
from schema.migration.files import Migrations
from schema.migration.generate.blank import write_blank_revision
from schema.migration.generate.branches import merge, rebase
from schema.migration.generate.request import Request
from schema.migration.shadow import shadow_database
from tests.ground.integration.conftest import Scratch
from tests.kit.checkout import Checkout
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

Files = dict[str, bytes]
_PRINTED = re.compile(r"`invoke ([^`]+)`")
_written: dict[str, Files] = {}


def declare(declared: MetaData, *names: str) -> MetaData:
    """Add tables to what is declared."""
    for name in names:
        Table(name, declared, Column("id", BigInteger(), Identity(), primary_key=True))
    return declared


def versions(scratch: Scratch) -> Path:
    """Return the folder of the migrations."""
    return scratch.checkout / "migrations" / "versions"


@pytest.fixture
def branches(scratch: Scratch, declared: MetaData) -> dict[str, Files]:
    """Give what `generate` writes on the branches of two developers, two migrations each."""
    if not _written:
        for developer in ("ann", "bob"):
            before, copy = set(versions(scratch).glob("*.py")), MetaData(naming_convention=declared.naming_convention)
            for table in declared.sorted_tables:
                table.to_metadata(copy)
            for name in (f"{developer}_1", f"{developer}_2"):
                scratch.generate(f"Add {name}", declare(copy, name))
            made = sorted(set(versions(scratch).glob("*.py")) - before)
            _written[developer] = {path.name: path.read_bytes() for path in made}
            for path in made:
                path.unlink()
    return _written


@dataclass(frozen=True, slots=True)
class Merged:
    """Ann's database, Bob's, and one that is empty, on one checkout, with what each branch holds."""

    ann: Scratch
    bob: Scratch
    fresh: Scratch
    branches: dict[str, Files]
    declared: MetaData

    def merge(self, ann: int, bob: int) -> None:
        """Let each database have applied this many files of its developer's branch, then put both in the checkout."""
        apply(self.ann, self.branches["ann"], ann)
        apply(self.bob, self.branches["bob"], bob)
        write(self.ann, self.branches["ann"] | self.branches["bob"])

    def assert_one_end(self) -> None:
        """Hold every database to what the files make of a fresh one, and the files to the models."""
        head = Migrations.load(self.fresh.checkout).head
        self.fresh.upgrade()
        for developer in (self.ann, self.bob):
            assert (developer.at, developer.objects) == ((head,), self.fresh.objects)
            assert set(developer.lines.values()) == {State.APPLIED}
        assert self.fresh.generate("Nothing", declare(self.declared, "ann_1", "ann_2", "bob_1", "bob_2")) is None


@pytest.fixture
def merged(scratch: Scratch, branches: dict[str, Files], declared: MetaData) -> Iterator[Merged]:
    """Give three databases and the branches of two developers."""
    with ExitStack() as undo:

        def database() -> Scratch:
            url = undo.enter_context(shadow_database(scratch.url, scratch.settings))
            connection = undo.enter_context(connect(url, scratch.settings, autocommit=True))
            return replace(scratch, url=url, connection=connection)

        yield Merged(scratch, database(), database(), branches, declared)


def write(scratch: Scratch, files: Files) -> None:
    """Put files in the place of all migrations but those of the common past."""
    for path in versions(scratch).glob("*_add_*.py"):
        path.unlink()
    for name, content in files.items():
        (versions(scratch) / name).write_bytes(content)


def apply(scratch: Scratch, files: Files, count: int) -> None:
    """Let a database have applied the first files of a branch, as on a checkout that holds no other."""
    write(scratch, dict(list(files.items())[:count]))
    scratch.upgrade()


def run(scratch: Scratch, printed: str) -> None:
    """Run a command that was printed, as the command line does."""
    words = shlex.split(printed)
    applied = ask(scratch.url, scratch.settings)
    match words:
        case ["generate", "--rebase", name]:
            rebase(scratch.checkout, name, applied)
        case ["generate", "--merge"]:
            merge(scratch.checkout, "", applied)
        case ["rollback", "--as-applied", "--steps", count]:
            with checkout_as_applied(scratch.url, scratch.settings, scratch.checkout) as checkout:
                rollback(
                    scratch.url, scratch.settings, int(count), checkout=checkout, run_options=scratch.run_options()
                )
        case ["migrate"]:
            scratch.upgrade()
        case _:
            raise AssertionError(printed)


def follow(scratch: Scratch, *, prefer: str = "") -> None:
    """Migrate; where that is refused, run the first command of the advice, or the one that is preferred."""
    for _ in range(6):
        try:
            scratch.upgrade()
        except MigrationError as error:
            printed = _PRINTED.findall(str(error))
            run(scratch, next((command for command in printed if prefer and prefer in command), printed[0]))
        else:
            return
    raise AssertionError("the advice leads nowhere")


_JOINED = [(0, 0), (1, 0), (2, 1)]
_WALKS = [*product(range(3), range(3), ("ann", "bob"))]
_QUICK = {(0, 0, "ann"), (1, 0, "bob"), (2, 2, "ann")}


@pytest.mark.parametrize(
    ("ann", "bob", "first"), [pytest.param(*walk, marks=() if walk in _QUICK else pytest.mark.slow) for walk in _WALKS]
)
def test_the_advice_leads_to_one_end(ann: int, bob: int, first: str, merged: Merged) -> None:
    """Each developer's database has applied none, one or both of his; either of them reads the advice first."""
    merged.merge(ann, bob)
    for database in (merged.ann, merged.bob) if first == "ann" else (merged.bob, merged.ann):
        follow(database)
    merged.assert_one_end()
    assert len(merged.fresh.files) == 5


@pytest.mark.parametrize(
    ("ann", "bob"), [(0, 2), *(pytest.param(*joined, marks=pytest.mark.slow) for joined in _JOINED)]
)
def test_branches_with_the_same_numbers_are_joined(ann: int, bob: int, merged: Merged) -> None:
    """`--merge` gives one of them new numbers and joins them; both databases get there."""
    merged.merge(ann, bob)
    for database in (merged.bob, merged.ann):
        follow(database, prefer="--merge")
    merged.assert_one_end()
    assert len(merged.fresh.files) == 6


def test_what_is_applied_is_not_renumbered(scratch: Scratch, branches: dict[str, Files]) -> None:
    """It is refused by name with the branch to move instead, and no file is touched."""
    apply(scratch, branches["ann"], 1)
    write(scratch, branches["ann"] | branches["bob"])
    before = scratch.files
    name, *_ = branches["ann"]
    with pytest.raises(
        MigrationError, match=rf"^{name} cannot be renumbered.*`invoke generate --rebase 0002_add_bob_1"
    ):
        run(scratch, f"generate --rebase {name}")
    assert scratch.files == before


def test_every_command_gives_the_same_advice(
    scratch: Scratch, branches: dict[str, Files], declared: MetaData, stack: RunningStack
) -> None:
    """What generates, migrates, takes back or shows says what this database has applied, and changes nothing."""
    apply(scratch, branches["bob"], 2)
    write(scratch, branches["ann"] | branches["bob"])
    before = scratch.files, scratch.objects
    said = set()
    for command in (
        scratch.upgrade,
        scratch.rollback,
        lambda: scratch.lines,
        lambda: scratch.generate("More", declared),
        lambda: check(scratch.url, stack.url(Role.USER), scratch.settings, checkout=scratch.checkout).require(),
        lambda: write_blank_revision(scratch.checkout, Request("More"), lambda: ask(scratch.url, scratch.settings)),
    ):
        with pytest.raises(MigrationError) as refused:
            command()
        said.add(str(refused.value))
    (advice,) = said
    assert _PRINTED.findall(advice)[0] == f"generate --rebase {next(iter(branches['ann']))}"
    assert (scratch.files, scratch.objects) == before


@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "generated"])
def test_no_number_is_taken_that_the_database_knows(
    by_hand: bool, scratch: Scratch, branches: dict[str, Files], declared: MetaData
) -> None:
    """What another branch has applied keeps its numbers, whether or not this checkout holds its files."""
    apply(scratch, branches["ann"], 2)
    write(scratch, {})
    if by_hand:
        path = write_blank_revision(scratch.checkout, Request("Add mine"), lambda: ask(scratch.url, scratch.settings))
    else:
        found = scratch.generate("Add mine", declare(declared, "mine"))
        assert found is not None
        path = found
    assert path.name == "0004_add_mine.py"
    (versions(scratch) / next(iter(branches["ann"]))).write_bytes(next(iter(branches["ann"].values())))
    (versions(scratch) / list(branches["ann"])[1]).write_bytes(list(branches["ann"].values())[1])
    follow(scratch)
    assert scratch.at == (Migrations.load(scratch.checkout).head,)


def test_another_branch_is_taken_back_by_its_own_text(scratch: Scratch, branches: dict[str, Files]) -> None:
    """Where the checkout has other migrations under its numbers, the ledger's files are run, not these."""
    scratch.upgrade()
    before = scratch.objects
    apply(scratch, branches["ann"], 2)
    write(scratch, branches["bob"])
    with pytest.raises(MigrationError, check=lambda error: "0002_add_bob_1.py" in error.files) as refused:
        scratch.upgrade()
    assert "--accept" in str(refused.value)
    run(scratch, _PRINTED.findall(str(refused.value))[0])
    made = [found for found in scratch.objects if "migration_ledger" not in str(found)]
    assert made == [found for found in before if "migration_ledger" not in str(found)]
    scratch.upgrade()
    assert {"bob_1", "bob_2"} <= scratch.names("relation")
    assert not {"ann_1", "ann_2"} & scratch.names("relation")


@pytest.mark.parametrize(
    "advice", ["first", *(pytest.param(advice, marks=pytest.mark.slow) for advice in ("take back", "merge"))]
)
def test_the_commands_do_what_they_print(
    advice: str, commands: Checkout, scratch: Scratch, branches: dict[str, Files]
) -> None:
    """As a person types them: the refusal is one paragraph with exit code 5, and its commands lead to one end."""
    apply(scratch, branches["ann"], 2)
    write(scratch, branches["ann"] | branches["bob"])
    refused = commands.invoke("migrate")
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (5, "", 2)
    printed = [shlex.split(words) for words in _PRINTED.findall(refused.stderr)]
    assert [words[1].removeprefix("--") for words in printed] == ["rebase", "merge", "as-applied", "rebase"]
    for words in {"first": printed[:1], "merge": printed[1:2], "take back": printed[2:]}[advice]:
        meant = (
            [f"--confirm-database={scratch.url.database}"] if words[0] == "rollback" else []
        )  # the tests' stack is another's
        commands.succeed(*words, *meant)
    commands.succeed("migrate")
    assert scratch.at == (Migrations.load(scratch.checkout).head,)
    assert {"ann_1", "ann_2", "bob_1", "bob_2"} <= scratch.names("relation")
    assert set(scratch.lines.values()) == {State.APPLIED}
