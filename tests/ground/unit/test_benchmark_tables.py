from pathlib import Path

import pytest

from tests.ground.benchmarks import drizzle, many_tables
from tests.ground.benchmarks.commands import CommandFailed
from tests.ground.benchmarks.files import forget_compiled, read, restore
from tests.ground.benchmarks.steps import WRITING, Step, refuse_undone

MADE = {"0001_first.py": b"1", "meta/journal.json": b"2"}


def test_a_folder_is_put_back_to_what_it_was(tmp_path: Path) -> None:
    """What was added goes, what was edited or removed is back; no folder stays empty, which drizzle-kit fails on."""
    restore(tmp_path, MADE)
    for name, content in (("0001_first.py", "edited"), ("0002_second.py", "new"), ("new/one.json", "new")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "meta" / "journal.json").unlink()
    restore(tmp_path, MADE)
    assert read(tmp_path) == MADE
    assert not (tmp_path / "new").exists()


def test_a_file_that_is_so_already_keeps_its_time_of_change(tmp_path: Path) -> None:
    """A sample of nothing changed begins with nothing touched."""
    restore(tmp_path, MADE)
    before = (tmp_path / "0001_first.py").stat().st_mtime_ns
    restore(tmp_path, {"0001_first.py": b"1"})
    assert (tmp_path / "0001_first.py").stat().st_mtime_ns == before


def test_what_python_compiled_is_kept_until_it_is_to_be_forgotten(tmp_path: Path) -> None:
    """A file that nobody touched is not compiled again, one that was just written is."""
    compiled = [tmp_path / "__pycache__" / f"{name}.cpython-311.pyc" for name in ("bench", "other")]
    compiled[0].parent.mkdir()
    for file in compiled:
        file.touch()
    restore(tmp_path, {})
    assert all(file.exists() for file in compiled)
    forget_compiled(tmp_path / "bench.py")
    assert [file.exists() for file in compiled] == [False, True]


@pytest.mark.parametrize("count", [1, 10])
def test_both_tools_are_given_the_same_tables(count: int) -> None:
    """A column more is in one table of them."""
    for declare, table, column in (
        (many_tables.models, b'__tablename__ = "bench_', b"one_more"),
        (drizzle.schema, b'pgTable("bench_', b"one_more"),
    ):
        assert [declare(count).count(text) for text in (table, column)] == [count, 0]
        assert [declare(count, one_more=True).count(text) for text in (table, column)] == [count, 1]


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("suffix", [".py", ".sql"])
def test_a_step_counts_only_when_it_was_done(step: Step, suffix: str) -> None:
    """A tool that writes nothing where it should, or something where it should not, was not timed at its work."""
    unchanged, written = {"meta/0.json": b""}, {f"0002{suffix}": b"", "meta/1.json": b""}
    done, undone = (written, unchanged) if step in WRITING else (unchanged, written)
    refuse_undone("a tool", step, {}, done)
    with pytest.raises(CommandFailed, match="a tool ended with 0"):
        refuse_undone("a tool", step, {}, undone)
