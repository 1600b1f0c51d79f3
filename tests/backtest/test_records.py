"""What a night's figures mean, and what many nights make together."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.backtest.page import headline, write_page
from recommender.backtest.records import Backtest, Comparison, Night, Summary
from recommender.backtest.words import decision, ratio
from recommender.evaluation.confidence import Compared, Interval

DAY = date(2026, 1, 1)


def interval(value: float, around: float = 0.01) -> Interval:
    return Interval(value, value - around, value + around)


def measured(challenger: float, champion: float, around: float = 0.01) -> Comparison:
    difference = interval(challenger - champion, around)
    ratio = interval(challenger / champion) if champion else None
    recall = {"challenger": interval(challenger), "champion": interval(champion)}
    recall |= {"first": interval(0.1), "serving": interval(0.3)}
    return Comparison(DAY, 50, recall, Compared(difference, ratio, 0.5))


def night(later: Comparison | None, promoted: bool, verdict: str = "", why: str = "") -> Night:
    live = "new" if promoted else "old"
    given = verdict or ("promote" if promoted else "reject")
    return Night(DAY, "old", live, "new", given, why, judged=later, later=later)  # type: ignore[arg-type]


FAILED = Night(DAY, "old", "old", why="rejected_share is <0.3>")


@pytest.mark.parametrize(
    ("challenger", "champion", "promoted", "outcome", "regret"),
    [
        (0.22, 0.20, True, "right", 0.0),
        (0.22, 0.20, False, "wrong", 0.02),
        (0.18, 0.20, True, "wrong", 0.02),
        (0.18, 0.20, False, "right", 0.0),
        (0.205, 0.20, True, "undecided", 0.0),
        (0.205, 0.20, False, "undecided", 0.005),
    ],
)
def test_a_night_is_right_where_the_better_one_went_live(challenger, champion, promoted, outcome, regret) -> None:
    one = night(measured(challenger, champion), promoted)
    assert one.outcome == outcome
    assert one.regret == pytest.approx(regret)


def test_nothing_chosen_later_decides_nothing() -> None:
    one = night(Comparison(DAY, 0), promoted=True)
    assert (one.outcome, one.regret) == ("undecided", None)
    assert (FAILED.outcome, FAILED.regret, FAILED.promoted) == (None, None, False)


def test_nights_add_up() -> None:
    nights = [
        night(measured(0.22, 0.20), promoted=True),
        night(measured(0.22, 0.20), promoted=False, verdict="ask"),
        night(measured(0.20, 0.20), promoted=False),
        FAILED,
    ]
    summary = Summary.of(nights)
    assert (summary.nights, summary.promoted, summary.rejected, summary.asked, summary.failed) == (4, 1, 2, 1, 1)
    assert (summary.right, summary.wrong, summary.undecided, summary.share_right) == (1, 1, 1, 0.5)
    assert summary.regret == pytest.approx(0.02 / 3)
    assert summary.recall == pytest.approx({"policy": 0.62 / 3, "always": 0.64 / 3, "never": 0.1, "serving": 0.3})
    assert (
        headline(summary)
        == "1 of 3 challengers would have gone live; where later data decide, 1 of 2 decisions were right"
    )
    assert [decision(one) for one in nights] == ["promoted", "asked, rejected", "rejected", "failed"]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.booleans()), min_size=1, max_size=8))
def test_regret_is_never_negative_and_none_of_what_is_right(cases: list[tuple[float, float, bool]]) -> None:
    nights = [night(measured(challenger, champion), promoted) for challenger, champion, promoted in cases]
    assert all(one.regret >= 0 for one in nights)
    assert all(one.regret == 0 for one in nights if one.outcome == "right")
    assert all(one.regret > 0 for one in nights if one.outcome == "wrong")
    summary = Summary.of(nights)
    assert summary.right + summary.wrong + summary.undecided == summary.nights == summary.promoted + summary.rejected
    assert summary.regret == pytest.approx(
        sum(max(challenger, champion) for challenger, champion, _ in cases) / len(cases) - summary.recall["policy"]
    )


def test_a_champion_that_found_nothing_is_told_by_the_difference() -> None:
    assert ratio(measured(0.5, 0.0)) == "+0.5000 (+0.4900 to +0.5100)"
    assert ratio(measured(0.22, 0.20)) == "1.100 (1.090 to 1.110)"
    assert ratio(Comparison(DAY, 0)) == ratio(None) == "–"


@pytest.mark.parametrize("later", [measured(0.22, 0.2), measured(0.0, 0.0), Comparison(DAY, 0), None])
def test_the_page_holds_every_night_and_no_markup_of_others(tmp_path, later: Comparison | None) -> None:
    nights = [night(later, promoted=False, why="recall <script>"), FAILED]
    found = Backtest("spring", "music", "strict", 7, 28, nights, Summary.of(nights))
    found.write(tmp_path)
    assert Backtest.read(tmp_path) == found
    page = write_page(found, tmp_path).read_text()
    assert "recall &lt;script&gt;" in page and "rejected_share is &lt;0.3&gt;" in page and "<script" not in page
    assert page.count(f"<td>{DAY}</td>") == 2
