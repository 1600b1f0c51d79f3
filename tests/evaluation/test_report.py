"""[28] The report: one page that says why, for people; the same as Markdown; and examples that can be taken out."""

import math
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.config.profile import Words
from recommender.evaluation import report as package
from recommender.evaluation.confidence import Compared, Interval
from recommender.evaluation.findings import (
    Change,
    CohortFigures,
    Correlation,
    Diagnostics,
    Drift,
    Example,
    Explanation,
    Findings,
    Importance,
    PastVerdict,
    Point,
    RuleResult,
    Shown,
)
from recommender.evaluation.owners import Owners
from recommender.evaluation.report import forget_examples, render_html, render_markdown, wording, write_report
from recommender.evaluation.report.cohorts import heat_map
from recommender.evaluation.report.comparison import comparison
from recommender.evaluation.report.insight import drift_groups
from recommender.evaluation.report.plots import Series, bar, lines, paired_histogram
from recommender.evaluation.report.svg import Scale
from recommender.publishing.erasure import erase_from_reports

WORDS = Words(user="listener", item="track", event="play", creator="artist", category="genre")
DS = date(2014, 4, 30)
POINTS = 1500
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>|`*_'
PHONE = 390


def between(value: float, width: float) -> Interval:
    return Interval(value, value - width, value + width)


def beside(mine: float, theirs: float, width: float = 0.02) -> Compared:
    return Compared(between(mine - theirs, width * theirs), between(mine / theirs, width), 0.0004)


FIGURES = {
    "challenger": {"recall@20": 0.1742, "recall@10": 0.12, "ndcg@20": 0.16, "coverage@20": 0.47, "recommend_ms": 4.7},
    "champion": {"recall@20": 0.1690, "recall@10": 0.11, "ndcg@20": 0.17, "coverage@20": 0.44},
    "popularity": {"recall@20": 0.0230, "recall@10": 0.01, "ndcg@20": 0.02, "coverage@20": 0.01},
}
METRICS = ("recall@20", "recall@10", "ndcg@20")
INTERVALS = {
    model: {metric: between(figures[metric], 0.01) for metric in METRICS} for model, figures in FIGURES.items()
}
BESIDE = {
    model: {metric: beside(FIGURES["challenger"][metric], FIGURES[model][metric]) for metric in METRICS}
    for model in ("champion", "popularity")
}
RULES = [
    RuleResult(
        "recall_keeps_up", 1.031, 0.98, True, "recall@20 0.1742 against 0.1690; must be at least 0.98", why="a tie"
    ),
    RuleResult("scores_are_stable", 0.31, 0.25, False, "PSI 0.31; must be at most 0.25", "ask"),
    RuleResult("no_cohort_loses", 0.914, 0.95, False, "age_band 55+ (61): ratio 0.914; must be at least 0.95"),
    RuleResult("no_slow_decline", None, 0.97, True, "no best recent to compare recall@20 with"),
    RuleResult("onnx_agrees", 3.1e-7, 1e-4, True, "3.1e-07; must be at most 0.0001"),
]
COHORTS = [
    CohortFigures(
        "age_band", label, users, {"recall@20": between(mine, 0.01)}, {"recall@20": between(0.2, 0.01)},
        {"recall@20": beside(mine, 0.2)},
    )
    for label, users, mine in (("18-24", 210, 0.22), ("25-34", 1300, 0.201), ("55+", 61, 0.15))
]  # fmt: skip
DRIFTS = [
    Drift("user features", "age", 0.02, "PSI", False, ["value 1", "value 2"], [0.5, 0.5], [0.45, 0.55], 0.03),
    Drift(
        "user features", "events_30d", 0.31, "PSI", True, ["0–5", "5–10", "over 10"], [0.2, 0.5, 0.3], [0.5, 0.3, 0.2]
    ),
    Drift("scores", "best score", 0.0, "too few rows", False),
]
DIAGNOSTICS = Diagnostics(
    {"category_cohesion@10": 0.71},
    {"user": [0.1 * step for step in range(21)], "item": [0.05 * step for step in range(21)]},
    [Correlation("events_30d", 0.41, 1e-9, 20_000), Correlation("age", -0.04, 0.021, 20_000)],
    [
        Point(at % 40 / 40, at // 40 / 40, f"genre {at % 11}" if at % 11 else "other", f"Track {at}")
        for at in range(POINTS)
    ],
)
PAST = [
    PastVerdict(DS - timedelta(7 - at), f"m{at}", "rejected" if at == 2 else "promoted", 0.16 + at / 1000, 0.16)
    for at in range(7)
]


def example(name: str) -> Example:
    listed = [Shown(f"{name} hit", "Low Tide", "jazz", chosen=True, reason="you play Low Tide most")]
    listed += [Shown(f"{name} miss {rank}") for rank in range(2, 13)]
    return Example([Shown(f"{name} past", "Low Tide", "jazz")], listed, [Shown(f"{name} before")], 0.35, 0.6)


FULL = Findings(
    ds=DS,
    model_version="ranking-2014-04-30-4bd3ac84",
    kind="ranking",
    decision="reject",
    headline="Listeners of 55 and older would find 25 % fewer tracks.",
    policy="default 3f9a1c",
    judged_from=date(2014, 4, 1),
    users=1571,
    represented=0.173,
    rules=RULES,
    figures=FIGURES,
    intervals=INTERVALS,
    beside=BESIDE,
    champion_version="ranking-2014-04-29-b1d03c66",
    alerts=["the champion got worse on fresh data"],
    cohorts=COHORTS,
    drift=DRIFTS,
    diagnostics=DIAGNOSTICS,
    explanation=Explanation(
        "integrated gradients", 2000, 0.002, [Importance("history", "user", 0.6, 0.3), Importance("age", "user", 0.4)]
    ),
    curves={
        "challenger": [{"loss": 6.0 - at, "recall": 0.1 + at / 100, "seconds": 9.0} for at in range(4)],
        "champion": [{"loss": 6.1, "recall": 0.1, "seconds": 9.0}],
    },
    examples=[example(name) for name in ("Anna", "Boris", "Carla", "Dora")],
    changes=[Change("model.dimension", "256", "384"), Change("model.teacher", "ease", None)],
    past=PAST,
)
FIRST_NIGHT = Findings(
    DS, "m-1", "ease", "promote", "The first model.", "default", date(2014, 4, 1), 30, 1.0, [], {"challenger": {}}
)


class Page(HTMLParser):
    """What a browser would make of a page: elements with their attributes, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.lasttag != "style":
            self.text += data

    def ids(self) -> list[str]:
        return [name for tag, attributes in self.elements if tag == "section" and (name := attributes["id"])]

    def classes(self) -> list[str]:
        return [one for _, attributes in self.elements for one in (attributes.get("class") or "").split()]


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(FULL, WORDS)


def drawings(page: str) -> Iterator[ET.Element]:
    """Every outermost SVG; one that is not well-formed fails to be read."""
    for start in re.finditer(r'<svg class="(?:plot|key)', page):
        depth, at = 0, start.start()
        for tag in re.finditer(r"<svg[^>]*?(/?)>|</svg>", page[at:]):
            depth += 0 if tag.group(1) else -1 if tag.group() == "</svg>" else 1
            if depth == 0:
                yield ET.fromstring(page[at : at + tag.end()])  # noqa: S314 the test's own page
                break


def test_the_verdict_comes_first_and_the_sections_in_their_order(page: str) -> None:
    read = Page(page)
    assert re.sub(r"\s+", " ", read.text.split("</style>")[-1]).index("Rejected") < read.text.index("The rules")
    order = [tag for tag, _ in read.elements if tag in ("h1", "h2")]
    assert order[0] == "h1"
    assert order.count("h1") == 1
    assert read.ids() == [
        "rules", "comparison", "past", "cohorts", "drift", "explanation", "diagnostics", "training", "examples",
        "changes",
    ]  # fmt: skip
    assert FULL.headline in read.text
    assert read.text.index(FULL.headline) < read.text.index("The champion got worse") < read.text.index("The rules")


def test_failed_rules_come_first_then_those_that_ask(page: str) -> None:
    names = ("No cohort loses", "Scores are stable", "Recall keeps up", "ONNX agrees", "No slow decline")
    places = [page.index(f'<th scope="row">{name}') for name in names]
    assert places == sorted(places)
    assert "2 of 4 rules kept, 1 not asked." in page
    states = [name for name in Page(page).classes() if name in ("failed", "ask", "kept", "not-asked")]
    assert states == ["failed", "ask", "kept", "kept", "not-asked"]
    assert all(escape(rule.detail) in page for rule in RULES)


def test_every_section_has_its_plot(page: str) -> None:
    drawn = list(drawings(page))
    kinds = [one.get("class") for one in drawn]
    versus, headline = 2 * 2, 3  # two metrics at the main cut beside two models; three models
    assert kinds.count("plot track") == versus + headline
    assert kinds.count("plot histogram") == 2
    assert kinds.count("plot lines") == 1 + 1 + 2  # nights, lengths, loss and recall
    assert kinds.count("plot bar") == 2 + 1 + 2  # one importance has no permutation
    assert kinds.count("plot map") == 1
    for one in drawn:
        if one.get("role") == "img":
            assert one.get("aria-label") == one.findtext("title") != ""
    (points,) = [one for one in drawn if one.get("class") == "plot map"]
    assert len([mark for mark in points.iter() if mark.tag in ("circle", "use")]) == POINTS


def test_the_map_tells_groups_apart_by_more_than_colour(page: str) -> None:
    (points,) = [one for one in drawings(page) if one.get("class") == "plot map"]
    looks = {}
    for group in points.iter("g"):
        mark = next(iter(group))
        looks[group.get("class")] = mark.get("href", "dot")
        assert mark.findtext("title", "").startswith("Track ")
    assert set(looks) == {*(f"group-{number}" for number in range(8)), "group-other"}
    assert len(set(looks.values())) == 4
    assert looks["group-0"] != looks["group-4"]


def test_it_needs_no_network_and_no_script(page: str) -> None:
    assert not re.search("https?:", page)
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "@import" not in page
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(tag for tag, _ in Page(page).elements)
    assert all(attributes.get("href", "#")[0] == "#" for _, attributes in Page(page).elements)  # type: ignore[index]
    assert "prefers-color-scheme: dark" in page


def test_it_is_small(page: str) -> None:
    assert len(page.encode()) < 500_000


def test_the_same_findings_give_the_same_page(page: str) -> None:
    assert render_html(FULL, WORDS) == page
    assert render_markdown(FULL, WORDS) == render_markdown(FULL, WORDS)


def test_hostile_text_stays_text() -> None:
    hostile = replace(
        FULL,
        headline=HOSTILE,
        model_version=HOSTILE,
        champion_version=HOSTILE,
        kind=HOSTILE,
        policy=HOSTILE,
        alerts=[HOSTILE],
        rules=[RuleResult(HOSTILE, 1.0, 1.0, False, HOSTILE, why=HOSTILE)],
        figures={HOSTILE: {HOSTILE: 1.0}, "challenger": {HOSTILE: 1.0, "recall@20": 0.1}},
        beside={HOSTILE: {"recall@20": beside(0.2, 0.1)}},
        cohorts=[replace(one, dimension=HOSTILE, label=HOSTILE) for one in COHORTS],
        drift=[replace(one, name=HOSTILE, method=HOSTILE, bins=[HOSTILE] * len(one.bins)) for one in DRIFTS],
        diagnostics=Diagnostics(
            {HOSTILE: 1.0}, DIAGNOSTICS.norms, [Correlation(HOSTILE, 0.1, 0.1, 9)], [Point(0.1, 0.1, HOSTILE, HOSTILE)]
        ),
        explanation=Explanation(HOSTILE, 1, 0.1, [Importance(HOSTILE, HOSTILE, 1.0, 0.1)]),
        curves={HOSTILE: [{"loss": 1.0}, {"loss": 0.5}]},
        examples=[Example([Shown(HOSTILE)], [Shown(HOSTILE, HOSTILE, HOSTILE, True, HOSTILE)], [Shown(HOSTILE)])],
        changes=[Change(HOSTILE, HOSTILE, HOSTILE)],
        past=[PastVerdict(DS - timedelta(1), HOSTILE, HOSTILE, 0.1, 0.1)],
    )
    written = render_html(hostile, WORDS)
    read = Page(written)
    assert {"script", "img"}.isdisjoint(tag for tag, _ in read.elements)
    assert not any("onerror" in attributes for _, attributes in read.elements)
    assert len(list(drawings(written))) > 10
    assert read.text.count("<script>alert(1)</script>") > 20
    told = re.sub("`[^`]*`", "", render_markdown(hostile, WORDS).replace(r"\`", ""))  # code is shown as it is
    assert "<script" not in told.replace(r"\<script", "")
    assert not re.search(r"^<", told, re.MULTILINE)


def test_the_first_night_says_that_there_is_no_champion() -> None:
    read = Page(render_html(FIRST_NIGHT, WORDS))
    assert read.ids() == ["comparison"]
    assert "Promoted" in read.text
    assert "There is no champion to compare with" in read.text
    told = render_markdown(FIRST_NIGHT, WORDS)
    assert told.startswith("# ✓ Promoted")
    assert "no champion to compare with" in told
    alone = replace(
        FULL,
        champion_version=None,
        figures={name: FIGURES[name] for name in ("challenger", "popularity")},
        beside={"popularity": BESIDE["popularity"]},
        past=[],
        drift=[],
        changes=[],
        cohorts=[replace(one, champion={}, beside={}) for one in COHORTS],
    )
    compared = comparison(alone, WORDS)
    assert compared.main is not None
    assert compared.main.title == "Challenger against popularity"
    assert Page(render_html(alone, WORDS)).ids() == [
        "rules", "comparison", "cohorts", "explanation", "diagnostics", "training", "examples",
    ]  # fmt: skip


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_figures_that_are_no_numbers_are_told_as_such(odd: float) -> None:
    none = Interval(odd, odd, odd)
    findings = replace(
        FULL,
        represented=odd,
        rules=[RuleResult("a_rule", odd, None, False, "not measured")],
        figures={model: dict.fromkeys(figures, odd) for model, figures in FIGURES.items()},
        intervals={"challenger": {"recall@20": none}, "champion": {"recall@20": none}},
        beside={"champion": {"recall@20": Compared(none, none, odd), "ndcg@20": Compared(none, None, odd)}},
        cohorts=[CohortFigures("age", "old", 30, {"recall@20": none}, {"recall@20": none}, {})],
        drift=[replace(DRIFTS[1], score=odd, reference=[odd] * 3, current=[odd] * 3)],
        diagnostics=Diagnostics({"a": odd}, {"user": [odd]}, [Correlation("x", odd, odd, 3)], [Point(odd, odd, "g")]),
        explanation=Explanation("m", 1, odd, [Importance("x", "user", odd, odd)]),
        curves={"challenger": [{"loss": odd}, {"loss": odd}]},
        past=[PastVerdict(DS - timedelta(1), "m", "promoted", odd, None)],
    )
    written, told = render_html(findings, WORDS), render_markdown(findings, WORDS)
    for text in (Page(written).text, told):
        assert not re.search(r"\b(nan|inf)\b", text)
    assert not re.search(r'="-?(nan|inf)', written)
    assert len(list(drawings(written))) > 0


def test_markdown_has_every_rule_and_every_section() -> None:
    told = render_markdown(FULL, WORDS)
    assert told.startswith("# ✕ Rejected\n\n**Listeners of 55 and older")
    for rule in RULES:
        assert f"| {rule.rule.replace('_', chr(92) + '_')} |" in told
    assert told.index("no\\_cohort") < told.index("scores\\_are") < told.index("recall\\_keeps")
    assert "| Recall@20 | .1742 (.1642 to .1842) | .1690 (.1590 to .1790) | .0230 (.0130 to .0330) |" in told
    assert "User features, 1 of 2 drifted: **events\\_30d** (PSI .3100)." in told
    assert "| 1 | **✓** Anna hit (Low Tide), you play Low Tide most | Anna before |" in told
    assert "| model.teacher | ease | not set |" in told
    assert told.count("\n## ") == 10
    widths = [{line.count(" | ") for line in table} for table in tables(told)]
    assert all(len(cells) == 1 for cells in widths)


def tables(told: str) -> Iterator[list[str]]:
    for block in told.split("\n\n"):
        if block.startswith("| "):
            yield [line.replace("|  |", "| x |").replace("|  |", "| x |") for line in block.splitlines()]


@pytest.mark.parametrize(
    ("value", "told", "short"),
    [
        (0.1742, ".1742", ".1742"), (0.98, ".9800", ".98"), (0.99999, "1.0000", "1"), (1.0306, "1.031", "1.031"),
        (-0.25, "−.2500", "−.25"), (12492.0, "12,492", "12,492"), (431.27, "431.3", "431.3"), (0.0, "0", "0"),
        (3.1e-7, "3.1 × 10⁻⁷", "3.1 × 10⁻⁷"), (1e-4, "1.0 × 10⁻⁴", "1 × 10⁻⁴"), (None, "–", "–"),
        (math.nan, "–", "–"), (math.inf, "∞", "∞"), (120.0, "120", "120"),
    ],
)  # fmt: skip
def test_figures_are_told_as_people_write_them(value: float | None, told: str, short: str) -> None:
    assert wording.figure(value) == told
    assert wording.short(value) == short


def test_other_numbers_and_names_are_too() -> None:
    changes = [
        wording.change(ratio).replace("\u202f", " ") for ratio in (1.031, 0.914, 1.0, 7.13, 40.0, math.nan, None)
    ]
    assert changes == ["+3.1 %", "−8.6 %", "±0.0 %", "+613 %", "40 times", "–", "–"]
    assert [wording.short_change(part).replace("\u202f", " ") for part in (0.0, 0.05, -0.025)] == [
        "0 %",
        "+5 %",
        "−2.5 %",
    ]
    assert [wording.share(part).replace("\u202f", " ") for part in (0.173, 0.004, 0.02, 0.0, 1.0)] == [
        "17 %", "0.4 %", "2 %", "0 %", "100 %",
    ]  # fmt: skip
    assert [wording.p_value(p) for p in (0.0004, 0.0754, 1.0)] == ["p < .001", "p = .075", "p = 1.000"]
    assert [wording.plural(word) for word in ("track", "category", "play", "box", "dish")] == [
        "tracks", "categories", "plays", "boxes", "dishes",
    ]  # fmt: skip
    assert wording.metric_name("hit@20", WORDS) == "Hit rate@20"
    assert wording.metric_name("my_own_figure", WORDS) == "My own figure"
    assert wording.metric_meaning("recall@20", WORDS).startswith("of the tracks a listener chose")


def test_the_comparison_stands_where_the_figures_say() -> None:
    compared = comparison(FULL, WORDS)
    assert compared.main is not None
    assert [row.name for row in compared.main.rows] == ["Recall@20", "NDCG@20"]
    recall, ndcg = (ET.fromstring(row.plot) for row in compared.main.rows)  # noqa: S314 drawn here

    def place(drawing: ET.Element, name: str, key: str) -> float:
        (found,) = [one for one in drawing if (one.get("class") or "").startswith(name)]
        return float(str(found.get(key)).rstrip("%"))

    assert place(recall, "reference", "x1") == place(ndcg, "reference", "x1")
    assert place(ndcg, "value", "cx") < place(ndcg, "reference", "x1") < place(recall, "value", "cx")
    assert "sure" in str(recall[-1].get("class"))
    wide = replace(FULL, beside={"champion": {"recall@20": beside(0.1742, 0.169, 0.2)}})
    again = comparison(wide, WORDS).main
    assert again is not None
    assert 'class="value"' in again.rows[0].plot
    assert [cell.best for cell in compared.table.rows[0][2]] == [True, False, False]
    assert [name for name, _, _ in compared.alone] == ["One list"]
    assert [name for name, _, _ in compared.rest.rows] == ["Recall@10"]
    lost = replace(FULL, beside={}, figures={"challenger": FIGURES["challenger"]})
    assert "The champion could not be compared" in render_html(lost, WORDS)


def test_the_heat_map_marks_the_group_that_loses() -> None:
    heat = heat_map(FULL, WORDS)
    assert heat is not None
    assert heat.relative
    assert [(row.dimension, row.label, row.cells[0].tone, row.cells[0].sure) for row in heat.rows] == [
        ("Age band", "18-24", "up-3", True),
        ("", "25-34", "", False),
        ("", "55+", "down-4", True),
    ]
    assert heat.worst.replace("\u202f", " ") == "Age band 55+ (61) does worst: Recall@20 −25.0 %."
    alone = heat_map(replace(FULL, cohorts=[replace(one, champion={}, beside={}) for one in COHORTS]), WORDS)
    assert alone is not None
    assert not alone.relative
    assert [row.cells[0].text for row in alone.rows] == [".2200", ".2010", ".1500"]


def test_drifted_columns_stand_apart() -> None:
    users, scores = drift_groups(FULL)
    assert ([card.name for card in users.moved], [card.name for card in users.steady]) == (["events_30d"], ["age"])
    assert users.steady[0].score == "PSI .0200, up to .0300 by chance"
    assert (scores.steady[0].score, scores.steady[0].plot) == ("too few rows", None)
    histogram = paired_histogram(DRIFTS[1])
    assert [title.text for title in ET.fromstring(histogram).iter("title")][1:] == [  # noqa: S314 drawn here
        "0–5: 20\u202f% before, 50\u202f% now", "5–10: 50\u202f% before, 30\u202f% now",
        "over 10: 30\u202f% before, 20\u202f% now",
    ]  # fmt: skip
    assert "M2.67 100V4H30.67" in histogram  # the tallest bar


def test_a_missing_night_breaks_the_line() -> None:
    points = [(0.0, 1.0), (1.0, None), (2.0, 1.0), (3.0, 2.0)]
    plot = lines("a plot", [Series("one", "challenger", points)], str, str, str)
    assert re.findall("[ML]", re.findall(r' d="([^"]*)"', plot)[0]) == ["M", "M", "L"]
    assert plot.count("<circle") == 3
    assert 'width="100%"' in bar(7.0, "attribution", "too long")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_a_scale_holds_its_values_and_its_ticks_lie_within(values: list[float]) -> None:
    scale = Scale.over(values)
    places = [scale.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] <= 100
    ticks = scale.ticks()
    assert ticks == sorted(set(ticks))
    assert 1 <= len(ticks) <= 9
    assert all(scale.low - 1e-6 <= tick <= scale.high + 1e-6 for tick in ticks)


def folder_of(tmp_path: Path, users: list[str]) -> Path:
    folder = tmp_path / f"ds={DS}"
    write_report(folder, FULL, WORDS)
    Owners.of(users).write(folder)
    return folder


NAMES = ["Anna", "Boris", "Carla", "Dora"]
USERS = [f"user-{name}" for name in NAMES]


FILES = ("report.html", "report.md", "report.json")


def told_of(folder: Path) -> dict[str, list[str]]:
    """Whose examples each file of a report has."""
    return {name: [one for one in NAMES if f"{one} past" in (folder / name).read_text()] for name in FILES}


def in_all(*names: str) -> dict[str, list[str]]:
    return {file: [*names] for file in FILES}


def test_a_report_names_nobody_and_can_be_read_back(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, USERS)
    assert sorted(path.name for path in folder.iterdir()) == [
        "examples_of.json", "report.html", "report.json", "report.md",
    ]  # fmt: skip
    assert Findings.read(folder) == FULL
    assert not any("user-" in (folder / name).read_text() for name in FILES)


def test_an_erased_users_example_leaves_and_the_others_stay(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, USERS)
    assert forget_examples(folder, WORDS, ["user-Boris", "user-Zoe"]) == ["user-Boris"]
    assert told_of(folder) == in_all("Anna", "Carla", "Dora")
    assert Owners.read(folder).among(USERS) == ["user-Anna", "user-Carla", "user-Dora"]
    assert Findings.read(folder) == replace(FULL, examples=[one for one in FULL.examples if one != FULL.examples[1]])
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    assert forget_examples(folder, WORDS, ["user-Boris"]) == []
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()} == before
    assert sorted(forget_examples(folder, WORDS, USERS)) == ["user-Anna", "user-Carla", "user-Dora"]
    assert told_of(folder) == in_all()


def test_forgetting_that_was_killed_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path, USERS)

    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(package.render, "render_html", killed)
        forget_examples(folder, WORDS, ["user-Boris"])
    assert "Boris past" in (folder / "report.html").read_text()
    assert forget_examples(folder, WORDS, ["user-Boris"]) == ["user-Boris"]
    assert told_of(folder) == in_all()  # nobody can tell any more whose the others are
    assert Owners.read(folder).digests == ()


def test_a_report_of_another_version_is_removed_whole(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, USERS)
    (folder / "report.json").write_text('{"decision": "promoted"}')
    assert forget_examples(folder, WORDS, ["user-Zoe"]) == []
    assert (folder / "report.html").is_file()
    assert forget_examples(folder, WORDS, ["user-Anna"]) == ["user-Anna"]
    assert [path.name for path in folder.iterdir()] == ["examples_of.json"]
    assert Owners.read(folder).digests == ()
    assert forget_examples(tmp_path, WORDS, ["user-Anna"]) == []  # where nothing ever was


def test_erasing_goes_through_every_night(tmp_path: Path) -> None:
    for night in ("ds=2014-04-29", "ds=2014-04-30"):
        write_report(tmp_path / night, FULL, WORDS)
        Owners.of(USERS).write(tmp_path / night)
    (tmp_path / "tuning").mkdir()
    settings = SimpleNamespace(reports=tmp_path, profile=SimpleNamespace(words=WORDS))
    removed = erase_from_reports(settings, {"user-Dora", "user-Anna"})  # type: ignore[arg-type]
    assert removed == {"user-Anna": 2, "user-Dora": 2}
    for folder in tmp_path.glob("ds=*"):
        assert told_of(folder) == in_all("Boris", "Carla")


def crowded() -> Findings:
    """Many models, wide tables, and words that are longer than a phone is wide."""
    long = "Donaudampfschifffahrtsgesellschaftskapitän" * 3
    metrics = [f"{name}@20" for name in ("recall", "ndcg", "precision", "hit", "mrr", "map", "novelty")]
    figures = dict.fromkeys(metrics, 0.1234)
    models = ["challenger", "champion", "best_recent", "popularity", "item_knn", "ials", "ease"]
    sure = {metric: between(0.1234, 0.01) for metric in metrics}
    return replace(
        FULL,
        headline=f"Because of {long}.",
        model_version=long,
        alerts=[long],
        rules=[*RULES, RuleResult(long, 123456789.0, 1e-9, False, f"{long}; must be at least {long}", why=long)],
        figures=dict.fromkeys(models, figures),
        intervals=dict.fromkeys(models, sure),
        beside={model: {metric: beside(0.12, 0.11) for metric in metrics} for model in models[1:]},
        cohorts=[CohortFigures("group", long, 9000, sure, sure, {one: beside(0.2, 0.1) for one in metrics})],
        drift=[*DRIFTS, replace(DRIFTS[1], name=long, bins=[long] * 3)],
        explanation=Explanation(long, 1, 0.1, [Importance(long, long, 1.0, 0.1)]),
        diagnostics=replace(DIAGNOSTICS, figures={long: 1.0}, correlations=[Correlation(long, 0.1, 0.1, 9)]),
        curves={long: FULL.curves["challenger"]},
        examples=[Example([Shown(long)], [Shown(long, long, long, True, long)], [Shown(long)])],
        changes=[Change(long, long, long)],
    )


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("findings", [FULL, crowded(), FIRST_NIGHT], ids=["full", "crowded", "first night"])
def test_a_phone_never_scrolls_sideways_and_the_console_stays_empty(tmp_path: Path, findings: Findings) -> None:
    """A browser's own window is not made so narrow, a frame is; what it measured stands in the outer page's title."""
    opened = render_html(findings, WORDS).replace("<details>", "<details open>")
    outer = f"""<!doctype html><title></title>
        <iframe srcdoc="{escape(opened)}" style="width:{PHONE}px;height:900px;border:0"></iframe>
        <script>onload = () => {{
            const inside = document.querySelector("iframe").contentDocument;
            const box = inside.scrollingElement;
            document.title = [box.clientWidth, box.scrollWidth, inside.querySelectorAll("svg").length].join(" ");
        }}</script>"""
    (tmp_path / "outer.html").write_text(outer)
    ran = subprocess.run(
        [
            str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom",
            (tmp_path / "outer.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    measured = re.search(r"<title>(\d+) (\d+) (\d+)</title>", ran.stdout)
    assert measured is not None, ran.stderr
    client, scroll, plots = map(int, measured.groups())
    assert client == PHONE
    assert scroll <= PHONE
    assert plots == len(re.findall("<svg", opened))
    assert "CONSOLE" not in ran.stderr
