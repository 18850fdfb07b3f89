"""What is moved when migrations part: whole branches, all or nothing, and never by a guess."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from schema.errors import MigrationError
from schema.migration.apply.ledger import Entry
from schema.migration.branches import Applied
from schema.migration.file_order import read_files
from schema.migration.files import Migrations
from schema.migration.generate.branches import merge, rebase
from tests.ground.unit.test_heads import MAKO, names
from tests.ground.unit.test_migrate_input import checkout
from tests.kit.errors import about

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def write(folder: Path, name: str, follows: object, **more: object) -> None:
    """Add a migration that follows what `down_revision` says."""
    revision = name.partition("_")[0]
    lines = [
        f'revision = "{revision}"',
        f"down_revision = {follows!r}",
        *(f"{key} = {value!r}" for key, value in more.items()),
    ]
    (folder / "versions" / f"{name}.py").write_text("\n".join(lines) + "\n")


def graph(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return what each file follows, by number."""
    return {file.name: file.follows for file in read_files(folder / "versions")}


def applied(*files: str) -> Applied:
    """Return what a database says that has applied these files, one after the other."""
    numbers = [name.partition("_")[0] for name in files]
    entries = {
        number: Entry(number, name, [before] if before else [], "", "", NOW, 1, "a", "v")
        for number, name, before in zip(numbers, files, ["", *numbers[:-1]], strict=True)
    }
    return Applied("database 'app'", (numbers[-1],), entries)


def test_a_branch_that_joins_branches_moves_as_it_is(tmp_path: Path) -> None:
    """Its merge still follows both of its own, and no longer what now lies behind it."""
    checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0003_c="0001", r_0005_e="0001")
    write(tmp_path, "0004_d", ("0002", "0003"))
    rebase(tmp_path, "0004_d")
    assert graph(tmp_path) == {
        "0001_a.py": (), "0005_e.py": ("0001",),
        "0006_b.py": ("0005",), "0007_c.py": ("0005",), "0008_d.py": ("0006", "0007"),
    }  # fmt: skip
    assert Migrations.load(tmp_path).head == "0008"


def test_a_branch_that_joined_an_older_state_of_the_other_follows_the_newer(tmp_path: Path) -> None:
    """What it had joined lies behind it."""
    checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0003_main="0001", r_0005_main="0003")
    write(tmp_path, "0004_d", ("0002", "0003"))
    rebase(tmp_path, "0002_b")
    assert graph(tmp_path)["0006_b.py"] == ("0005",)
    assert graph(tmp_path)["0007_d.py"] == ("0006",)


def test_what_is_depended_on_is_renumbered_as_well(tmp_path: Path) -> None:
    """And nothing that stays is made to depend on what comes after it."""
    checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0004_main="0001")
    write(tmp_path, "0003_c", "0002", depends_on=("0002", "0001"))
    rebase(tmp_path, "0003_c")
    (moved,) = (file for file in read_files(tmp_path / "versions") if file.name == "0006_c.py")
    assert (moved.follows, moved.depends_on) == (("0005",), ("0005", "0001"))
    write(tmp_path, "0007_x", "0004", depends_on="0005")
    before = graph(tmp_path)
    with pytest.raises(MigrationError, check=about(files=("0007_x.py", "0005_b.py"))):
        rebase(tmp_path, "0005_b")
    assert graph(tmp_path) == before


def test_two_files_of_one_title_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """The new name of the one is the old name of the other."""
    checkout(tmp_path, r_0001_a=None, r_0002_fix="0001", r_0003_fix="0002", r_0002_main="0001")
    (tmp_path / "versions" / "0002_fix.py").write_text('# first\nrevision = "0002"\ndown_revision = "0001"\n')
    second = '# follows 0002_fix.py\nrevision = "0003"\ndown_revision = "0002"\n# second\n'
    (tmp_path / "versions" / "0003_fix.py").write_text(second)
    rebase(tmp_path, "0002_fix")
    assert graph(tmp_path) == {
        "0001_a.py": (), "0002_main.py": ("0001",), "0003_fix.py": ("0002",), "0004_fix.py": ("0003",),
    }  # fmt: skip
    texts = [(tmp_path / "versions" / name).read_text() for name in ("0003_fix.py", "0004_fix.py")]
    assert ("# first" in texts[0], "# second" in texts[1], "# follows 0003_fix.py" in texts[1]) == (True, True, True)


PAIRS = {"r_0001_x": None, "r_0002_a": "0001", "r_0002_b": "0001", "r_0003_a2": "0002", "r_0003_b2": "0002"}


def test_whose_followers_they_are_is_asked_where_nothing_says(tmp_path: Path) -> None:
    """Every command refuses alike; with all files of the branch named it is moved."""
    checkout(tmp_path, **PAIRS)
    before = graph(tmp_path)
    for command in (
        lambda: Migrations.load(tmp_path),
        lambda: rebase(tmp_path, "0002_a"),
        lambda: merge(tmp_path, ""),
        lambda: rebase(tmp_path, "0002_a", applied("0001_x.py", "0002_b.py")),
    ):
        with pytest.raises(
            MigrationError, check=about(files=("0003_a2.py", "0002_a.py", "0002_b.py"), revision="0002")
        ):
            command()
    assert graph(tmp_path) == before
    rebase(tmp_path, "0002_a,0003_a2.py")
    assert graph(tmp_path)["0005_a2.py"] == ("0004",)
    assert graph(tmp_path)["0004_a.py"] == ("0003",)
    assert Migrations.load(tmp_path).head == "0005"


def test_the_ledger_says_whose_followers_they_are(tmp_path: Path) -> None:
    """What is applied follows what is applied, so the other file follows the other."""
    checkout(tmp_path, **PAIRS)
    done = applied("0001_x.py", "0002_b.py", "0003_b2.py")
    with pytest.raises(
        MigrationError, match=r"has applied 0002_b\.py and 0003_b2\.py\. .*`invoke generate --rebase 0002_a"
    ):
        Migrations.load(tmp_path, lambda: done)
    rebase(tmp_path, "0003_a2", done)
    assert names(tmp_path) == ["0001_x.py", "0002_b.py", "0003_b2.py", "0004_a.py", "0005_a2.py"]


def test_where_each_branch_is_applied_they_are_joined(tmp_path: Path) -> None:
    """No order of the two would be true of that database."""
    checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0003_c="0001")
    entries = {
        **applied("0001_a.py", "0002_b.py").entries,
        "0003": Entry("0003", "0003_c.py", ["0001"], "", "", NOW, 1, "a", "v"),
    }
    both = Applied("database 'app'", ("0002", "0003"), entries)
    with pytest.raises(MigrationError) as refused:
        Migrations.load(tmp_path, lambda: both)
    assert ("--rebase" in str(refused.value), "`invoke generate --merge`" in str(refused.value)) == (False, True)


def test_what_cannot_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk refuses in the middle, every file is as it was, and no draft is left."""
    checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0003_c="0002", r_0002_d="0001")
    (tmp_path / "versions" / "0003_c.py").write_text('revision = "0003"\n# follows 0002_b.py\ndown_revision = "0002"\n')
    before = {path.name: path.read_bytes() for path in (tmp_path / "versions").iterdir()}
    replace, calls = Path.replace, iter([False, True, False, False])

    def fails(self: Path, target: Path) -> Path:
        if next(calls, False):
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(MigrationError, match=r"are as they were: .*No space left"):
        rebase(tmp_path, "0002_b")
    assert {path.name: path.read_bytes() for path in (tmp_path / "versions").iterdir()} == before


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<<<<<<< HEAD\nrevision = "0002"\n', r"0002_c\.py cannot be read: SyntaxError: line 1.*<<<<<<<"),
        ("revision = make()\n", r"0002_c\.py, line 1: revision is computed"),
        ("# nothing\n", r"0002_c\.py does not state its revision"),
        ('# \udce9\nrevision = "0002"\n', r"0002_c\.py cannot be read: .*UTF-8"),
    ],
    ids=["conflict markers", "computed", "no revision", "no UTF-8"],
)
def test_a_file_that_cannot_be_placed_is_named(text: str, reason: str, tmp_path: Path) -> None:
    """With its line, and what to write; nothing is moved."""
    checkout(tmp_path, r_0001_a=None, r_0002_b="0001")
    (tmp_path / "versions" / "0002_c.py").write_bytes(text.encode("utf-8", "surrogateescape"))
    for command in (lambda: rebase(tmp_path, "0002_b"), lambda: Migrations.load(tmp_path)):
        with pytest.raises(MigrationError, match=reason):
            command()
    assert names(tmp_path) == ["0001_a.py", "0002_b.py", "0002_c.py"]


def test_a_number_counts_wherever_it_stands(tmp_path: Path) -> None:
    """A file that was renamed and kept its revision is one of two; one whose name has a number takes it."""
    checkout(tmp_path, r_0001_a=None, r_0002_b="0001")
    (tmp_path / "versions" / "0003_c.py").write_text('revision = "0002"\ndown_revision = "0001"\n')
    with pytest.raises(MigrationError, check=about(files=("0002_b.py", "0003_c.py"))):
        Migrations.load(tmp_path)
    (tmp_path / "versions" / "0003_c.py").write_text('revision = "c0ffee"\ndown_revision = "0002"\n')
    assert Migrations.load(tmp_path).next_revision == "0004"


def test_a_migration_that_is_missing_is_named(tmp_path: Path) -> None:
    """By the file that needs it; the ledger has its text where it was applied."""
    with pytest.raises(MigrationError, check=about(files=("0006_b.py",), revision="0005")):
        Migrations.load(checkout(tmp_path, r_0001_a=None, r_0006_b="0005"))
    done = applied("0001_a.py", "0005_lost.py")
    with pytest.raises(MigrationError, match=r"`invoke history --show 0005 > \S+/0005_lost\.py`"):
        Migrations.load(tmp_path, lambda: done)


def test_a_merge_that_fails_leaves_every_number(tmp_path: Path) -> None:
    """Where the joining file cannot be written, what was renumbered for it is put back."""
    checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0002_c="0001")
    (tmp_path / "script.py.mako").write_text("${undefined_name()}")
    before = graph(tmp_path)
    with pytest.raises(MigrationError):
        merge(tmp_path, "")
    assert graph(tmp_path) == before
    (tmp_path / "script.py.mako").write_text(MAKO.read_text())
    merge(tmp_path, "")
    assert Migrations.load(tmp_path).head == "0004"
