import pytest

from tests.ground.benchmarks.timing import compare, interleave, summarise


def test_the_order_of_the_sides_alternates() -> None:
    """No side always runs in the other's wake."""
    assert "".join(interleave("AB", 3)) == "ABBAAB"


@pytest.mark.parametrize("rounds", [1, 4, 7])
def test_every_side_has_its_turn_in_every_round(rounds: int) -> None:
    """Samples of one round stand beside each other, so that they can be compared in pairs."""
    turns = list(interleave("AB", rounds))
    assert all({*turns[at : at + 2]} == {"A", "B"} for at in range(0, 2 * rounds, 2))


def test_a_summary_tells_the_middle_the_ends_and_the_spread() -> None:
    """One sample far out moves the maximum and neither the median nor the spread."""
    summary = summarise([3.0, 1.0, 2.0, 4.0, 90.0])
    assert (summary.median, summary.minimum, summary.maximum, summary.spread) == (3.0, 1.0, 90.0, 2.0)
    assert summary.samples == (3.0, 1.0, 2.0, 4.0, 90.0)


def test_a_single_sample_has_no_spread() -> None:
    """One round is a run like another."""
    assert summarise([0.5]).spread == 0.0


def test_medians_are_compared_by_ratio_and_by_distance() -> None:
    """The ratio within a round is told beside them: it is steady where the machine grows slower from round to round."""
    comparison = compare(summarise([1.0, 2.0, 6.0]), summarise([2.0, 4.0, 8.0]))
    assert (comparison.ratio, comparison.beyond, comparison.paired_ratio) == (0.5, -2.0, 0.5)


def test_series_of_different_length_are_not_compared() -> None:
    """A pair is of one round; a sample without its counterpart is a mistake of the caller's."""
    with pytest.raises(ValueError, match="shorter"):
        compare(summarise([1.0, 2.0]), summarise([1.0]))
