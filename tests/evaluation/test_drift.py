"""Drift reports: quiet on the same world, loud on a changed one, calm about empty and tiny ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recommender.evaluation.drift import feature_drift
from recommender.features.definitions import Feature
from recommender.features.measures import Kind


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
            "user_id": [f"person-{n}" for n in range(rows)],
            "events_30d": np.floor(rng.lognormal(2, 1, rows)).astype("float32"),
            "age": age,
            "always_one": np.ones(rows, "float32"),
            "country": rng.choice(["DE", "BR", "JP", None], rows),
            "creator": [f"artist {int(value)}" for value in rng.pareto(1, rows) * 10],  # mostly rare
        }
    )


@pytest.mark.parametrize("rows", [3_000, 300])
def test_two_samples_of_one_world_do_not_drift(rows: int, tmp_path: Path) -> None:
    report = feature_drift(make_snapshot(rows, 1), make_snapshot(rows, 2), FEATURES, tmp_path / "d.html")
    assert report.drifted == []
    assert report.share == 0
    assert list(report.columns) == [feature.name for feature in FEATURES]
    assert (report.reference_rows, report.current_rows) == (rows, rows)


@pytest.mark.parametrize("rows", [3_000, 300])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("events_30d", lambda values: values * 3),
        ("age", lambda values: values.where(values.index % 2 == 0)),  # half of the known ages are gone
        ("always_one", lambda values: values + 4),
        ("country", lambda values: values.replace("DE", "BR")),
    ],
)
def test_the_changed_column_is_named(rows: int, name: str, change: object, tmp_path: Path) -> None:
    current = make_snapshot(rows, 2)
    current[name] = change(current[name])  # type: ignore[operator]
    report = feature_drift(make_snapshot(rows, 1), current, FEATURES, tmp_path / "d.html")
    assert report.drifted == [name]
    assert report.share == pytest.approx(1 / len(FEATURES))
    assert report.columns[name].drifted


def test_columns_without_values_are_compared_by_that(tmp_path: Path) -> None:
    features = [*FEATURES, make_feature("nothing"), make_feature("no_text", "categorical"), make_feature("absent")]
    first, second = (make_snapshot(400, seed).assign(nothing=np.nan, no_text=None) for seed in (1, 2))
    report = feature_drift(first, second, features, tmp_path / "d.html")
    assert report.drifted == []
    assert report.columns["nothing"].method == "change of the missing share"
    lost = feature_drift(first, second.assign(age=np.nan), features, tmp_path / "d.html")
    assert lost.drifted == ["age"]


@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 3), (1, 1), (3, 2), (20, 25)])
def test_a_handful_of_rows_proves_nothing(before: int, after: int, tmp_path: Path) -> None:
    report = feature_drift(make_snapshot(before, 1), make_snapshot(after, 2), FEATURES, tmp_path / "d.html")
    assert report.drifted == []
    assert (tmp_path / "d.html").is_file()


def test_large_tables_are_sampled_the_same_way_each_time(tmp_path: Path) -> None:
    first, second = make_snapshot(30_000, 1), make_snapshot(21_000, 2)
    report = feature_drift(first, second, FEATURES, tmp_path / "d.html")
    assert (report.reference_rows, report.current_rows) == (20_000, 20_000)
    assert feature_drift(first, second, FEATURES, tmp_path / "d.html") == report
    assert report.drifted == []


def test_the_page_is_self_contained_and_shows_nobody(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    first, second = make_snapshot(500, 1), make_snapshot(500, 2)
    first.loc[0, "country"] = second.loc[0, "country"] = "XX, only one user"
    folder = tmp_path / "reports" / "ds=2026-01-01"
    feature_drift(first, second, FEATURES, folder / "drift_user.html")
    assert [path.name for path in folder.iterdir()] == ["drift_user.html"]
    page = (folder / "drift_user.html").read_text(encoding="utf-8")
    assert "events_30d" in page
    assert 'src="http' not in page
    assert "person-" not in page
    assert "only one user" not in page
    assert "".join(capfd.readouterr()) == ""
    assert len(recwarn) == 0


@pytest.mark.parametrize("rows", [3_000, 300])
def test_of_personal_features_the_report_shows_the_same_drift_and_no_value(rows: int, tmp_path: Path) -> None:
    before, after = make_snapshot(rows, 1), make_snapshot(rows, 2)
    for frame in (before, after):
        frame["country"] = frame["country"].replace({"DE": "Zanzibarland"})
        frame["age"] = frame["age"] / 100 + 71_717
    after["country"] = after["country"].replace("BR", "Zanzibarland")
    open_, disguised = tmp_path / "open.html", tmp_path / "disguised.html"
    plain = feature_drift(before, after, FEATURES, open_)
    personal = feature_drift(before, after, FEATURES, disguised, {"user_id", "age", "country"})
    assert personal.drifted == plain.drifted == ["country"]
    for name, column in plain.columns.items():
        assert personal.columns[name].score == pytest.approx(column.score, rel=1e-3, abs=1e-6)
    for value in ("Zanzibarland", "7171"):
        assert value in open_.read_text()
        assert value not in disguised.read_text()


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
    report = feature_drift(with_lists(3_000, 1), with_lists(3_000, 2), features, tmp_path / "d.html")
    assert (report.drifted, list(report.columns)) == ([], [feature.name for feature in features])
    # lists have more values than there are rows; that changes nothing for the others
    alone = feature_drift(make_snapshot(3_000, 1), make_snapshot(3_000, 2), FEATURES[:1], tmp_path / "alone.html")
    assert report.columns["events_30d"] == alone.columns["events_30d"]
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    assert "genres" in page and "title" in page
    first, second = with_lists(300, 1), with_lists(300, 2)
    assert feature_drift(first, second, LISTS, tmp_path / "d.html").drifted == []
    # nor does the order in a list matter
    first["genres"], second["genres"] = first["genres"].map(sorted), second["genres"].map(sorted).map(lambda v: v[::-1])
    assert feature_drift(first, second, LISTS, tmp_path / "d.html").drifted == []


def test_lists_drift_by_their_values_and_vectors_by_their_direction(tmp_path: Path) -> None:
    before, after = with_lists(300, 1), with_lists(300, 2)
    report = feature_drift(before, genres_as(after, "jazz", "disco"), LISTS, tmp_path / "d.html")
    assert (report.drifted, report.share) == (["genres"], 1 / 2)
    turned = after.assign(title=[None if vector is None else vector[::-1] for vector in after["title"]])
    assert feature_drift(before, turned, LISTS, tmp_path / "d.html").drifted == ["title"]
    gone = after.assign(genres=None, title=np.nan)
    report = feature_drift(before, gone, LISTS, tmp_path / "d.html")
    assert report.drifted == ["genres", "title"]
    assert report.columns["title"].method == "change of the missing share"


def test_of_personal_lists_and_vectors_no_value_is_shown(tmp_path: Path) -> None:
    before, after = (genres_as(with_lists(500, seed), "pop", "Zanzibarland") for seed in (1, 2))
    after = genres_as(after, "rock", "Zanzibarland")
    plain = feature_drift(before, after, LISTS, tmp_path / "open.html")
    personal = feature_drift(before, after, LISTS, tmp_path / "disguised.html", {"genres", "title"})
    assert personal.drifted == plain.drifted == ["genres"]
    for name, column in plain.columns.items():
        assert personal.columns[name].score == pytest.approx(column.score, rel=1e-3, abs=1e-6)
    assert "Zanzibarland" in (tmp_path / "open.html").read_text()
    assert "Zanzibarland" not in (tmp_path / "disguised.html").read_text()


def test_lists_and_vectors_that_hardly_anybody_has_prove_nothing(tmp_path: Path) -> None:
    few = with_lists(20, 1)
    nobody = few.assign(genres=None, title=None)
    for before, after in ((few, with_lists(25, 2)), (nobody, nobody), (few.iloc[:0], few.iloc[:0])):
        assert feature_drift(before, after, LISTS, tmp_path / "d.html").drifted == []
