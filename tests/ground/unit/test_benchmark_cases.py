import pytest

from infra.config.settings import CHECKOUT
from tests.ground.benchmarks.cases import Case, Measure, Measured, Side, Target, compared
from tests.ground.benchmarks.commands import Command, Figure, Sample
from tests.ground.benchmarks.report import as_data, as_table

NOTHING = Command(("true",), CHECKOUT, {})
OURS, PEER = Side("ours", NOTHING), Side("the peer", NOTHING)


def sample(wall: float, cpu: float, memory: float | None = None) -> Sample:
    """Return what a run took; work of this process has no memory of its own."""
    seconds = {Figure.WALL: wall, Figure.CPU: cpu}
    return seconds if memory is None else {**seconds, Figure.MEMORY: memory}


def measured(target: Target | None = None) -> Measured:
    """Return a case: ours takes twice as long on the clock, half the processor time and a quarter of the memory."""
    case = Case("some-case", OURS, PEER, target)
    return compared(case, [sample(2.0, 1.0, 25.0)] * 2, [sample(1.0, 2.0, 100.0)] * 2)


@pytest.mark.parametrize(("figure", "ratio"), [(Figure.WALL, 2.0), (Figure.CPU, 0.5), (Figure.MEMORY, 0.25)])
def test_every_figure_is_compared_with_the_same_of_the_peer(figure: Figure, ratio: float) -> None:
    """A command that is quick because it uses both processors, or all of the memory, is seen to be that."""
    assert measured().comparisons[figure].ratio == ratio


def test_work_of_this_process_has_no_memory_to_compare() -> None:
    """Its peak cannot be told from the benchmark's own."""
    found = compared(Case("work", OURS, PEER), [sample(1.0, 1.0)], [sample(1.0, 1.0)])
    assert list(found.comparisons) == [Figure.WALL, Figure.CPU]
    assert "MiB" not in as_table([found])


@pytest.mark.parametrize(
    ("target", "verdicts"),
    [
        (Target(1.0, figures=(Figure.WALL, Figure.CPU)), ("1x MISSED", "1x met", "-")),
        (Target(0.3, figures=(Figure.MEMORY,)), ("-", "-", "0.3x met")),
        (Target(0.5, Measure.BEYOND, (Figure.WALL,)), ("+0.5 MISSED", "-", "-")),
        (None, ("-", "-", "-")),
    ],
)
def test_a_target_is_judged_for_each_figure_it_limits(target: Target | None, verdicts: tuple[str, ...]) -> None:
    """One that is met in processor time and missed on the clock is told as both."""
    headings, *lines = as_table([measured(target)]).splitlines()
    assert [line[headings.index("target") :].split("  ")[0] for line in lines] == list(verdicts)
    met = as_data([measured(target)], {}, 2)["cases"]["some-case"]["target"]
    assert (met or {"met": {}})["met"] == {
        figure: verdict.endswith("met") for figure, verdict in zip(Figure, verdicts, strict=True) if verdict != "-"
    }


def test_the_data_holds_every_sample_by_side_and_figure() -> None:
    """Who doubts a median can take another one."""
    told = as_data([measured()], {"other-case": "no engine"}, 2)
    case = told["cases"]["some-case"]
    assert case["ours"]["memory"]["samples"] == (25.0, 25.0)
    assert case["peer"]["label"] == "the peer"
    assert case["comparison"]["cpu"]["beyond"] == -1.0
    assert told["skipped"] == {"other-case": "no engine"}


@pytest.mark.parametrize(("asked", "rounds"), [(1, 1), (3, 1), (7, 3), (21, 7)])
def test_a_case_that_takes_long_is_timed_less_often_and_always_once(asked: int, rounds: int) -> None:
    """It stays in proportion to what is asked for."""
    assert Case("long", OURS, PEER, every=3).rounds(asked) == rounds
    assert Case("short", OURS, PEER).rounds(asked) == asked
