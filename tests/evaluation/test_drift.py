"""Drift: quiet on the same world, loud on a changed one, calm about empty and tiny ones."""

import math
from collections.abc import Collection
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.config.profile import Profile
from recommender.config.yaml12 import load_yaml
from recommender.data.dataset import Dataset, Truth
from recommender.evaluation.drift import NightDrift, night_drift
from recommender.evaluation.drift.bars import BAR_ROWS, MISSING, MOST_BARS, OTHER, Column, cut
from recommender.evaluation.drift.columns import feature_columns
from recommender.evaluation.drift.snapshots import sample_rows
from recommender.evaluation.drift.verdicts import PAGES, judge_columns
from recommender.evaluation.findings import Drift
from recommender.evaluation.reference import Reference, Sample, take_reference
from recommender.features.definitions import Feature, declared_features
from recommender.features.measures import Kind
from recommender.retrieval.exact import TopK
from recommender.storage.lake import Lake
from tests.models.worlds import DS, PROFILE, checkerboard, truth_of

PAGE = PAGES["user features"]


def make_feature(name: str, kind: Kind = "numeric", skewed: bool = False) -> Feature:
    return Feature(name, "user", kind, skewed, name, None, name)


FEATURES = [
    make_feature("events_30d", skewed=True),
    make_feature("age"),
    make_feature("always_one"),
    make_feature("country", "categorical"),
    make_feature("creator", "categorical"),
]


def make_snapshot(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.normal(30, 8, rows).astype("float32")
    age[rng.random(rows) < 0.3] = np.nan
    return pd.DataFrame(
        {
            "events_30d": np.floor(rng.lognormal(2, 1, rows)).astype("float32"),
            "age": age,
            "always_one": np.ones(rows, "float32"),
            "country": rng.choice(["DE", "BR", "JP", None], rows),
            "creator": [f"artist {int(value)}" for value in rng.pareto(1, rows) * 10],  # mostly rare
        }
    )


def compare(
    before: pd.DataFrame,
    after: pd.DataFrame,
    features: list[Feature],
    folder: Path,
    personal: Collection[str] = (),
) -> dict[str, Drift]:
    found = judge_columns("user features", feature_columns(before, after, features, personal), folder)
    assert [drift.name for drift in found] == [feature.name for feature in features]
    return {drift.name: drift for drift in found}


def drifted(found: dict[str, Drift]) -> list[str]:
    return [name for name, drift in found.items() if drift.drifted]


def psi(drift: Drift) -> float:
    """By the book, with the share that Evidently takes for an empty bar."""
    total = 0.0
    for before, now in zip(drift.reference, drift.current, strict=True):
        p, q = before or 1e-4, now or 1e-4
        total += (p - q) * math.log(p / q)
    return total


@pytest.mark.parametrize("rows", [3_000, 300])
def test_two_samples_of_one_world_do_not_drift(rows: int, tmp_path: Path) -> None:
    found = compare(make_snapshot(rows, 1), make_snapshot(rows, 2), FEATURES, tmp_path)
    assert drifted(found) == []
    assert all(drift.score < drift.chance for drift in found.values())


@pytest.mark.parametrize("rows", [3_000, 300])
def test_the_score_is_the_index_over_the_bars_that_are_shown(rows: int, tmp_path: Path) -> None:
    current = make_snapshot(rows, 2).assign(age=lambda frame: frame["age"] + 5)
    for drift in compare(make_snapshot(rows, 1), current, FEATURES, tmp_path).values():
        assert drift.method == "PSI"
        assert drift.score == pytest.approx(psi(drift))
        assert len(drift.bins) == len(drift.reference) == len(drift.current) <= 12
        assert sum(drift.reference) == pytest.approx(1) == sum(drift.current)


@pytest.mark.parametrize("rows", [3_000, 300])
def test_each_changed_column_is_named(rows: int, tmp_path: Path) -> None:
    before, after = make_snapshot(rows, 1), make_snapshot(rows, 2)
    changes = {
        "events_30d": after["events_30d"] * 3,
        "age": after["age"].where(after.index % 2 == 0),  # half of the known ages are gone
        "always_one": after["always_one"] + 4,
        "country": after["country"].replace("DE", "BR"),
    }
    for name, values in changes.items():
        assert drifted(compare(before, after.assign(**{name: values}), FEATURES[:4], tmp_path)) == [name]


def test_columns_without_values_are_compared_by_that(tmp_path: Path) -> None:
    features = [*FEATURES, make_feature("nothing"), make_feature("no_text", "categorical"), make_feature("absent")]
    first, second = (make_snapshot(400, seed).assign(nothing=np.nan, no_text=None) for seed in (1, 2))
    found = compare(first, second, features, tmp_path)
    assert drifted(found) == []
    assert [found[name].bins for name in ("nothing", "no_text", "absent")] == [[MISSING]] * 3
    lost = compare(first, second.assign(age=np.nan), features, tmp_path)
    assert drifted(lost) == ["age"]
    assert lost["age"].current == [0, 1]


@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 300), (1, 1), (20, 25), (29, 3_000)])
def test_a_handful_of_rows_proves_nothing(before: int, after: int, tmp_path: Path) -> None:
    changed = make_snapshot(after, 2).assign(age=99.0, country="FR")
    found = compare(make_snapshot(before, 1), changed, FEATURES, tmp_path)
    assert all(drift == Drift("user features", drift.name, 0, "too few rows", False) for drift in found.values())
    assert "Nothing has enough values" in (tmp_path / PAGE).read_text()


def test_the_page_is_self_contained_and_shows_nobody(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    first, second = make_snapshot(500, 1), make_snapshot(500, 2)
    first.loc[:9, "country"] = second.loc[:9, "country"] = "XX, only twenty users"
    folder = tmp_path / "reports" / "ds=2026-01-01"
    found = compare(first, second, FEATURES, folder)
    assert [path.name for path in folder.iterdir()] == [PAGE]
    page = (folder / PAGE).read_text(encoding="utf-8")
    assert "events_30d" in page and "artist" in page
    assert 'src="http' not in page
    assert "only twenty users" not in page + str(found)
    assert "".join(capfd.readouterr()) == ""
    assert len(recwarn) == 0


@pytest.mark.parametrize("rows", [3_000, 300])
def test_of_personal_features_the_same_drift_is_shown_and_no_value(rows: int, tmp_path: Path) -> None:
    before, after = make_snapshot(rows, 1), make_snapshot(rows, 2)
    for frame in (before, after):
        frame["country"] = frame["country"].replace({"DE": "Zanzibarland"})
        frame["age"] = frame["age"] / 100 + 71_717
    after["country"] = after["country"].replace("BR", "Zanzibarland")
    plain = compare(before, after, FEATURES, tmp_path / "open")
    personal = compare(before, after, FEATURES, tmp_path / "disguised", {"age", "country"})
    assert drifted(personal) == drifted(plain) == ["country"]
    for name, drift in plain.items():
        assert personal[name].score == pytest.approx(drift.score)
        assert replace(personal[name], bins=drift.bins, score=drift.score) == drift
    assert personal["country"].bins == ["value 1", "value 2", "value 3", MISSING]
    for value in ("Zanzibarland", "7171"):
        assert value in (tmp_path / "open" / PAGE).read_text() and value in str(plain)
        assert value not in (tmp_path / "disguised" / PAGE).read_text() + str(personal)


LISTS = [
    make_feature("genres", "categories"),
    Feature("title", "item", "vector", False, "title_embedding_{n}", None, "title", width=4),
]


def with_lists(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed + 100)
    genres = [rng.choice(["rock", "pop", "jazz", "folk"], rng.integers(0, 4), replace=False) for _ in range(rows)]
    vectors = rng.normal([1, 0, 0, 0], 0.5, (rows, 4)).astype("float32")
    titles = [vector if known else None for vector, known in zip(vectors, rng.random(rows) < 0.8, strict=True)]
    return make_snapshot(rows, seed).assign(genres=genres, title=pd.Series(titles, dtype=object))


def genres_as(frame: pd.DataFrame, before: str, after: str) -> pd.DataFrame:
    genres = [np.where(values == before, after, values) for values in frame["genres"]]
    return frame.assign(genres=pd.Series(genres, dtype=object))


def test_lists_and_vectors_of_one_world_do_not_drift(tmp_path: Path) -> None:
    features = [*FEATURES[:1], *LISTS]
    found = compare(with_lists(3_000, 1), with_lists(3_000, 2), features, tmp_path)
    assert drifted(found) == []
    # lists have more values than there are rows; that changes nothing for the others
    alone = compare(make_snapshot(3_000, 1), make_snapshot(3_000, 2), FEATURES[:1], tmp_path)
    assert found["events_30d"] == alone["events_30d"]
    first, second = with_lists(300, 1), with_lists(300, 2)
    # nor does the order in a list matter
    first["genres"], second["genres"] = first["genres"].map(sorted), second["genres"].map(sorted).map(lambda v: v[::-1])
    assert drifted(compare(first, second, LISTS, tmp_path)) == []


def test_lists_drift_by_their_values_and_vectors_by_their_direction(tmp_path: Path) -> None:
    before, after = with_lists(300, 1), with_lists(300, 2)
    assert drifted(compare(before, genres_as(after, "jazz", "disco"), LISTS, tmp_path)) == ["genres"]
    turned = after.assign(title=[None if vector is None else vector[::-1] for vector in after["title"]])
    assert drifted(compare(before, turned, LISTS, tmp_path)) == ["title"]
    gone = compare(before, after.assign(genres=None, title=np.nan), LISTS, tmp_path)
    assert drifted(gone) == ["genres", "title"]
    hidden = compare(before, after, LISTS, tmp_path, {"genres", "title"})
    assert "jazz" not in (tmp_path / PAGE).read_text() + str(hidden)


def test_lists_and_vectors_that_hardly_anybody_has_prove_nothing(tmp_path: Path) -> None:
    few = with_lists(20, 1)
    nobody = few.assign(genres=None, title=None)
    for before, after in ((few, with_lists(25, 2)), (nobody, nobody), (few.iloc[:0], few.iloc[:0])):
        assert drifted(compare(before, after, LISTS, tmp_path)) == []


# how a column is cut


def column(before: list[object], after: list[object], numeric: bool = True) -> Column:
    dtype = "float64" if numeric else object
    sides = pd.Series(before, dtype=dtype), pd.Series(after, dtype=dtype)
    return Column("x", *sides, (len(before), len(after)), numeric)


def test_bars_written_out() -> None:
    bars = cut(column(["a"] * 40 + ["b"] * 50 + ["rare"] * 10, ["a"] * 10 + ["b"] * 50 + [None] * 40, numeric=False))
    assert bars.labels == ["b", "a", MISSING]  # the 10 rare ones are too few for a bar of the others
    assert bars.shares == ([5 / 9, 4 / 9, 0], [0.5, 0.1, 0.4])
    assert bars.chance == pytest.approx(9.2103 * (1 / 100 + 1 / 100), rel=1e-4)  # χ² of 2 at .99
    numbers = cut(column(list(range(300)), list(range(150, 450))))
    assert (numbers.labels[0], numbers.labels[-1], len(numbers.labels)) == ("up to 59", "above 389", 10)
    before, now = numbers.shares
    assert np.add(before, now) == pytest.approx(np.full(10, 0.2), abs=0.02)
    assert (before[-1], now[0]) == (0, 0)
    few_values = cut(column([0.0] * 60 + [2.5] * 40, [0.0] * 20 + [7.0] * 80))
    assert (few_values.labels, few_values.shares) == (["0", "2.5", "7"], ([0.6, 0.4, 0], [0.2, 0, 0.8]))


def test_the_rest_of_many_categories_is_one_bar() -> None:
    bars = cut(column([str(n % 40) for n in range(2_000)], [str(n % 40) for n in range(2_000)], numeric=False))
    assert (len(bars.labels), bars.labels[-1]) == (MOST_BARS + 1, OTHER)
    assert bars.shares[0][-1] == 30 / 40


@given(st.integers(0, 10**6), st.integers(30, 200), st.integers(30, 200), st.sampled_from([0, 1, 20]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_bars_are_few_wide_and_the_same_in_any_order(seed: int, n: int, m: int, digits: int, numeric: bool) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=n + m) * rng.choice([0.1, 1, 10]), digits)
    values[rng.random(n + m) < rng.choice([0, 0.2, 0.9])] = np.nan
    before, after = ([None if np.isnan(value) else value for value in side] for side in (values[:n], values[n:]))
    bars = cut(column(before, after, numeric))
    assert len(bars.labels) <= MOST_BARS + 2
    both = np.concatenate([bars.reference, bars.current])
    assert (np.bincount(both[both >= 0], minlength=len(bars.labels)) >= BAR_ROWS).all()
    assert [sum(side) for side in bars.shares] == [pytest.approx(1)] * 2
    swapped = cut(column(after[::-1], before[::-1], numeric))
    assert (swapped.labels, swapped.shares) == (bars.labels, bars.shares[::-1])
    if numeric:  # another scale changes no bar
        longer = ([None if value is None else value * 8 for value in side] for side in (before, after))
        assert cut(column(*longer)).shares == bars.shares


@pytest.mark.parametrize("rows", [60, 500])
def test_chance_explains_all_but_one_in_a_hundred(rows: int) -> None:
    rng = np.random.default_rng(5)
    for numeric in (True, False):
        beyond = 0
        for _ in range(400):
            values = (
                rng.lognormal(size=2 * rows) if numeric else np.array(list("abcdefgh"))[rng.integers(0, 8, 2 * rows)]
            )
            bars = cut(column(list(values[:rows]), list(values[rows:]), numeric))
            before, now = bars.shares
            beyond += psi(Drift("choices", "x", 0, "PSI", False, bars.labels, before, now)) > bars.chance
        assert beyond <= 12  # 4 expected; more than 12 once in 3,000 times


# what is read of a snapshot


def write_rows(path: Path, rows: pd.DataFrame) -> Path:
    rows.to_parquet(path, row_group_size=1_000)
    return path


def test_the_same_entities_are_read_whatever_the_order(tmp_path: Path) -> None:
    rows = make_snapshot(5_000, 1).assign(user_id=[f"u{n}" for n in range(5_000)], other=1)
    one = write_rows(tmp_path / "one.parquet", rows)
    mixed = rows.sample(frac=1, random_state=3).assign(age=rows["age"] + 100)
    other = write_rows(tmp_path / "other.parquet", mixed)
    with duckdb.connect() as connection:
        first, second = (sample_rows(connection, path, "user_id", ["age", "gone"], 700) for path in (one, other))
        assert list(first) == ["age"]
        assert len(first) == 700
        pd.testing.assert_series_equal(first["age"] + 100, second["age"])
        connection.execute("set threads = 1")
        pd.testing.assert_frame_equal(sample_rows(connection, one, "user_id", ["age"], 700), first)
        assert first["age"].mean() == pytest.approx(rows["age"].mean(), abs=1)
        assert len(sample_rows(connection, one, "user_id", [], 9_999)) == 5_000


# a night

SINCE = DS - timedelta(days=1)
USERS, ITEMS = 300, 60


def profile(text: str = PROFILE) -> Profile:
    return Profile.model_validate(load_yaml(text))


def write_night(lake: Lake, ds: date, seed: int, changes: dict[str, object] | None = None, text: str = PROFILE) -> None:
    rng = np.random.default_rng(seed)
    for entity, size in (("user", USERS), ("item", ITEMS)):
        features = declared_features(profile(text), entity)  # type: ignore[arg-type]
        rows = pd.DataFrame({f"{entity}_id": [f"{entity}{n}" for n in range(size)]})
        rows["events_total"] = rng.lognormal(2, 1, size).astype("float32")
        rows["country" if entity == "user" else "category"] = rng.choice(["Zanzibarland", "b"], size)
        facts = {"versions": {feature.name: feature.version for feature in features}}
        lake.write(f"{entity}_features", ds, rows.assign(**(changes or {})) if entity == "user" else rows, facts)


def board() -> tuple[Dataset, Truth]:
    """The checkerboard, with a creator for each four items."""
    dataset = checkerboard()
    features = dataset.item_features.assign(creator=[f"c{n // 4}" for n in range(24)])
    dataset = replace(dataset, item_features=features)
    return dataset, truth_of(dataset)


def lists_of(dataset: Dataset, truth: Truth, noise: float = 0.0) -> TopK:
    """Each user's relevant items before the others, 12 in all."""
    rng = np.random.default_rng(2)
    scores = truth.relevant.toarray() + rng.random(truth.relevant.shape) * (0.5 + noise)
    items = np.argsort(-scores, axis=1)[:, :12]
    return TopK(items.astype(np.int32), np.take_along_axis(scores, items, 1).astype(np.float32))


def run(
    folder: Path,
    lake: Lake,
    challenger: TopK,
    champion: TopK | None,
    past: Reference | None,
    text: str = PROFILE,
) -> tuple[NightDrift, list[str]]:
    dataset, truth = board()
    said: list[str] = []
    found = night_drift(lake, profile(text), folder, DS, SINCE, challenger, champion, truth, dataset, past, said.append)
    return found, said


def left(top: TopK, truth: Truth, dataset: Dataset) -> Reference:
    """What the champion left when the same items were as many days younger as its night is ago."""

    def younger(sample: Sample) -> Sample:
        return replace(sample, rows=sample.rows.assign(age_days=sample.rows["age_days"] - (DS - SINCE).days))

    taken = take_reference(top, truth, dataset)
    return Reference(younger(taken.shown), younger(taken.choices))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    write_night(lake, SINCE, 1)
    write_night(lake, DS, 2)
    return lake


def test_a_quiet_night(lake: Lake, tmp_path: Path) -> None:
    dataset, truth = board()
    top = lists_of(dataset, truth)
    found, said = run(tmp_path / "out", lake, top, top, left(top, truth, dataset))
    groups = ("drift_share", "drift_worst", "drift_scores", "drift_recommendations", "drift_choices")
    assert found.figures == {**dict.fromkeys(groups, 0.0), "new_item_share": found.figures["new_item_share"],
                             "new_item_share_before": found.figures["new_item_share"]}  # fmt: skip
    assert (found.worst, said) == (None, [])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(PAGES.values())
    assert {drift.group for drift in found.columns} == set(PAGES)
    # of the users' country, which is personal, not a value
    assert "Zanzibarland" not in str([drift for drift in found.columns if drift.group == "user features"])
    assert "Zanzibarland" not in (tmp_path / "out" / "drift_user.html").read_text()


def test_growing_older_is_no_drift(tmp_path: Path) -> None:
    """Most users and items have been there from the first day: every night they are a day older, all alike."""
    ages = [make_feature("tenure_days"), make_feature("events_7d")]
    old = pd.DataFrame({"tenure_days": [200.0] * 400 + [*range(100)], "events_7d": [5.0] * 500})
    later = old.assign(tenure_days=old["tenure_days"] + 3)
    aged, *_ = judge_columns("user features", feature_columns(old, later, ages, (), 3), tmp_path)
    assert (aged.name, aged.score, aged.drifted) == ("tenure_days", 0, False)
    rewritten = old.assign(tenure_days=old["tenure_days"] * 24)
    assert judge_columns("user features", feature_columns(old, rewritten, ages, (), 3), tmp_path)[0].drifted


def test_one_drifted_feature_is_named(lake: Lake, tmp_path: Path) -> None:
    dataset, truth = board()
    top = lists_of(dataset, truth)
    write_night(lake, DS, 2, {"country": None})
    found, _ = run(tmp_path / "out", lake, top, top, left(top, truth, dataset))
    moved = next(drift for drift in found.columns if drift.drifted)
    assert found.worst == "user features: country"
    assert found.figures["drift_share"] == 1 / 4
    assert found.figures["drift_worst"] == pytest.approx(psi(moved) - moved.chance)
    assert found.figures["drift_worst"] > 2


def test_one_list_for_everyone_is_seen_in_scores_and_recommendations(lake: Lake, tmp_path: Path) -> None:
    dataset, truth = board()
    top = lists_of(dataset, truth)
    same = TopK(np.tile(np.arange(12, dtype=np.int32), (40, 1)), np.tile(np.array([9.0] + 11 * [0.1]), (40, 1)))
    found, _ = run(tmp_path / "out", lake, same, top, left(top, truth, dataset))
    assert found.figures["drift_scores"] > 0.5
    assert found.figures["drift_recommendations"] > 0.5
    assert found.figures["drift_choices"] == found.figures["drift_worst"] == 0


def test_a_champion_that_scores_otherwise_and_other_choices_are_seen(lake: Lake, tmp_path: Path) -> None:
    dataset, truth = board()
    top = lists_of(dataset, truth)
    newer = replace(dataset, ts=dataset.until - (dataset.until - dataset.ts) // 10)
    tripled = TopK(top.items, top.scores * 3)
    found, _ = run(tmp_path / "out", lake, tripled, tripled, left(top, truth, newer))
    assert [drift.name for drift in found.columns if drift.drifted and drift.group == "scores"] == [
        "the champion's scores"
    ]
    assert found.figures["drift_scores"] > 0.5
    assert found.figures["drift_choices"] > 0.5
    assert (found.figures["new_item_share_before"], found.figures["new_item_share"]) == (1, 0)


def test_without_reference_and_champion_the_features_remain(lake: Lake, tmp_path: Path) -> None:
    dataset, truth = board()
    top = lists_of(dataset, truth)
    found, said = run(tmp_path / "out", lake, top, None, None)
    assert said == [f"the champion of {SINCE} left no sample of what it showed and what was chosen"]
    assert {drift.group for drift in found.columns} == {"user features", "item features"}
    assert "new_item_share_before" not in found.figures
    assert [found.figures[f"drift_{group}"] for group in ("scores", "recommendations", "choices")] == [0, 0, 0]


def test_what_is_defined_otherwise_is_left_out_and_said(lake: Lake, tmp_path: Path) -> None:
    dataset, truth = board()
    top = lists_of(dataset, truth)
    text = PROFILE.replace("category: c", "category: {column: genre}")
    write_night(lake, DS, 2, text=text)
    found, said = run(tmp_path / "out", lake, top, top, take_reference(top, truth, dataset), text)
    assert f"1 item features are new or defined otherwise since {SINCE}" in said
    assert [drift.name for drift in found.columns if drift.group == "item features"] == ["events_total"]


def test_a_night_without_snapshots_compares_no_features(tmp_path: Path) -> None:
    dataset, truth = board()
    top = lists_of(dataset, truth)
    found, _ = run(tmp_path / "out", Lake(tmp_path / "empty"), top, top, None)
    assert (found.figures["drift_share"], found.figures["drift_worst"], found.worst) == (0, 0, None)


def test_lists_without_items_are_not_compared() -> None:
    nothing = pd.Series(dtype="float64")
    assert cut(Column("score", pd.Series(np.arange(900.0)), nothing, (45, 45), numeric=True)).labels == []


def values_of(codes: npt.NDArray[np.int64]) -> list[int]:
    return sorted(set(codes.tolist()))


def test_close_numbers_keep_labels_apart() -> None:
    bars = cut(column([71_717 + n / 1e4 for n in range(200)], [71_717 + n / 1e4 for n in range(200)]))
    assert len(set(bars.labels)) == len(bars.labels) == MOST_BARS
    assert values_of(bars.reference) == list(range(MOST_BARS))
