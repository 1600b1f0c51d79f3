"""The generated world: reproducible, and as skewed, seasonal, drifting and dirty as it was asked to be."""

import re
from collections import Counter
from datetime import timedelta
from functools import partial
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from recommender.config.profile import SyntheticWorld
from recommender.config.settings import PROFILES, load_settings
from recommender.data.ingest import ingest
from recommender.data.synthetic import Skew, Summary, Truth, books, ensure_world, files, naming, write_world
from recommender.data.synthetic.events import DIRT, WITHDRAWN, blocks
from recommender.errors import ConfigError
from recommender.storage.lake import Lake

TINY = SyntheticWorld(users=80, items=60, days=60, events_per_user=20)
CLEAN = {"dirty_share": 0.0, "missing_share": 0.0, "misspelt_share": 0.0}
SETTLED = {**CLEAN, "new_user_share": 0.0, "new_item_share": 0.0, "repeats": True}


def changed(**changes: Any) -> SyntheticWorld:
    return SyntheticWorld.model_validate({**TINY.model_dump(), **changes})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_events(folder: Path) -> pd.DataFrame:
    """Every row with its user's and item's numbers and day; negative where there is none."""
    with duckdb.connect() as connection:
        events = connection.execute(
            "select * from read_parquet(?, filename = true)", [str(folder / "events" / "*.parquet")]
        ).df()
    for name in ("user", "item"):
        events[name] = pd.to_numeric(events[f"{name}_id"].str.removeprefix(f"{name}-"), errors="coerce").fillna(-1)
    return events.astype({"user": int, "item": int})


def usable(folder: Path, size: SyntheticWorld) -> pd.DataFrame:
    events = read_events(folder)
    start = pd.Timestamp(size.last_day - timedelta(days=size.days - 1))
    events = events[(events["user"] >= 0) & (events["item"] >= 0) & (events["ts"] >= start)]
    events = events.drop_duplicates(["user", "item", "ts"])
    return events.assign(day=(events["ts"] - start).dt.days)


def days_of(folder: Path, size: SyntheticWorld, table: str, *columns: str) -> list[np.ndarray]:
    frame = pd.read_parquet(folder / "truth" / f"{table}.parquet")
    start = pd.Timestamp(size.last_day - timedelta(days=size.days - 1))
    return [(pd.to_datetime(frame[column]) - start).dt.days.to_numpy() for column in columns]


def test_the_same_parameters_give_the_same_files_in_any_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "blocks", partial(blocks, size=300))
    write_world(TINY, tmp_path / "one", threads=1)
    write_world(TINY, tmp_path / "four", threads=4)
    write_world(changed(seed=8), tmp_path / "other")
    one = contents(tmp_path / "one")
    assert sum(name.startswith("events/") for name in one) > 4
    assert contents(tmp_path / "four") == one
    other = contents(tmp_path / "other")
    assert all(one[name] != other[name] for name in one if name.endswith((".csv", ".parquet")))


SIZES = st.builds(
    SyntheticWorld,
    users=st.integers(10, 60),
    items=st.integers(10, 80),
    creators=st.none() | st.integers(1, 20),
    categories=st.integers(2, 24),
    days=st.integers(30, 50),
    events_per_user=st.floats(0.5, 40),
    repeats=st.booleans(),
    seed=st.integers(0, 99),
    popularity=st.floats(0, 3),
    drift=st.floats(0, 1),
    seasonality=st.floats(0, 1),
    new_user_share=st.floats(0, 1),
    new_item_share=st.floats(0, 0.9),
    missing_share=st.floats(0, 1),
    misspelt_share=st.floats(0, 1),
    dirty_share=st.floats(0, 0.5),
)


@settings(max_examples=25, deadline=None, phases=(Phase.generate,))
@given(size=SIZES)
def test_every_world_keeps_its_promises(size: SyntheticWorld) -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "world"
        summary = write_world(size, folder)
        rows, events = read_events(folder), usable(folder, size)
        joined, left = days_of(folder, size, "users", "joined", "left")
        (released,) = days_of(folder, size, "items", "released")
    assert len(rows) == summary.rows
    assert len(events) == summary.events <= round(size.users * size.events_per_user)
    assert (np.bincount(events["item"], minlength=size.items) == summary.item_events).all()
    assert (np.bincount(events["user"], minlength=size.users) == summary.user_events).all()
    assert ((events["day"] >= joined[events["user"]]) & (events["day"] < left[events["user"]])).all()
    assert (events["day"] >= released[events["item"]]).all()
    assert (events["day"] < size.days).all()
    assert size.repeats or not events.duplicated(["user", "item"]).any()
    planted = summary.dirt["events"]
    assert planted == dirt_in(rows, len(events))
    assert max(planted.values()) - min(planted.values()) <= 1
    assert sum(planted.values()) <= round(round(size.users * size.events_per_user) * size.dirty_share)
    dated = rows[~(rows["ts"] < "1990-01-01")]
    assert all(part["ts"].dropna().is_monotonic_increasing for _, part in dated.groupby("filename"))


def dirt_in(rows: pd.DataFrame, usable_rows: int) -> dict[str, int]:
    """Unusable rows, counted by another rule than the one they were made by."""
    faults = {
        "unknown item": (rows["item_id"] == WITHDRAWN).sum(),
        "unreadable ts": rows["ts"].isna().sum(),
        "implausible ts": (rows["ts"] < "1990-01-01").sum(),
        "missing user_id": rows["user_id"].isna().sum(),
        "missing item_id": rows["item_id"].isna().sum(),
    }
    return {kind: int(faults.get(kind, len(rows) - usable_rows - sum(faults.values()))) for kind in DIRT}


def test_ingest_finds_exactly_what_was_planted(home: Path, tmp_path: Path) -> None:
    profile = tmp_path / "dirty.yaml"
    profile.write_text((PROFILES / "synthetic.yaml").read_text().replace("seed: 7", "seed: 7, dirty_share: 0.03"))
    dirty = load_settings(str(profile))
    size = dirty.profile.synthetic
    assert size is not None and size.dirty_share == 0.03
    ingest(dirty, size.last_day)
    truth, lake = Truth.read(dirty.data), Lake(dirty.lake)
    for table, planted in (("events", DIRT), ("users", None), ("items", None)):
        found = Counter(lake.read(f"quarantine_{table}", size.last_day)["reason"])
        expected = {
            kind: count
            for kind, count in truth.dirt[table].items()
            if planted is not None or kind.startswith(("duplicate", "missing"))
        }
        assert found == expected, table
    assert len(lake.read("events", size.last_day)) == truth.dirt["usable events"]
    ages = lake.read("users", size.last_day)["age"]
    assert ages.dropna().between(10, 95).all()


def world(tmp_path: Path, **changes: Any) -> tuple[SyntheticWorld, Summary, pd.DataFrame]:
    size = changed(**changes)
    folder = tmp_path / "world"
    summary = write_world(size, folder)
    return size, summary, usable(folder, size)


def test_skew_grows_with_the_exponent(tmp_path: Path) -> None:
    ginis = [
        Skew.of(world(tmp_path, **CLEAN, users=300, items=300, popularity=exponent)[1].item_events).gini
        for exponent in (0.0, 0.7, 1.4, 2.1)
    ]
    assert ginis == sorted(ginis)
    assert ginis[-1] > ginis[0] + 0.2


def test_skew_of_known_counts() -> None:
    assert Skew.of(np.array([5, 5, 5, 5])) == Skew(0.25, 0.25, 0.0)
    one_has_most = Skew.of(np.array([0, *[1] * 99, 901]))
    assert (one_has_most.top_1_percent, one_has_most.top_10_percent) == (0.901, 0.91)
    assert one_has_most.gini == pytest.approx(0.891)


def test_the_default_is_about_as_skewed_as_real_listening(tmp_path: Path) -> None:
    """Last.fm's tracks: top 1% .06, top 10% .30, Gini .37; MovieLens-1M's films: .08, .41, .59."""
    skew = Skew.of(write_world(SyntheticWorld(), tmp_path / "world").item_events)
    assert 0.05 <= skew.top_1_percent <= 0.08
    assert 0.28 <= skew.top_10_percent <= 0.41
    assert 0.37 <= skew.gini <= 0.59


def test_seasons_show_as_much_as_asked(tmp_path: Path) -> None:
    spread = {}
    for seasonality in (0.0, 1.0):
        _, _, events = world(tmp_path, **SETTLED, users=400, days=364, events_per_user=100, seasonality=seasonality)
        parts = {"weekday": events["ts"].dt.weekday, "hour": events["ts"].dt.hour, "month": events["ts"].dt.month}
        for part, values in parts.items():
            counts = values.value_counts()
            spread[part, seasonality] = counts.max() / counts.min()
    assert {part: spread[part, 0.0] < 1.35 for part in ("weekday", "hour", "month")} == dict.fromkeys(parts, True)
    assert spread["weekday", 1.0] > 1.2
    assert spread["hour", 1.0] > 5
    assert spread["month", 1.0] > 1.5


def test_without_drift_tastes_stay(tmp_path: Path) -> None:
    moved = {}
    for drift in (0.0, 1.0):
        size, _, _ = world(tmp_path, **SETTLED, drift=drift)
        truth = Truth.read(tmp_path / "world")
        first, last = (
            truth.preferences(np.arange(size.users), day) for day in (size.last_day - timedelta(days=59), size.last_day)
        )
        moved[drift] = float(np.abs(first - last).sum(axis=1).mean())
    assert moved[0.0] < 0.02  # what is left is the novelty of the youngest items
    assert moved[1.0] > 0.5


def test_users_choose_as_the_truth_says(tmp_path: Path) -> None:
    size, _, events = world(tmp_path, **SETTLED, users=20, items=20, events_per_user=3000.0, drift=1.0, days=100)
    truth = Truth.read(tmp_path / "world")
    for days in (range(50), range(50, 100)):
        part = events[events["day"].isin(days)]
        compared = 0
        for user, chosen in part.groupby("user"):
            if len(chosen) > 1000:
                shares = np.bincount(chosen["item"], minlength=size.items) / len(chosen)
                on_day = [truth.preferences([user], size.last_day - timedelta(days=99 - day))[0] for day in days]
                busy = np.bincount(chosen["day"] - days.start, minlength=50)
                assert np.abs(shares - np.average(on_day, axis=0, weights=busy)).sum() < 0.12
                compared += 1
        assert compared >= 5


def test_who_one_is_goes_with_what_one_likes(tmp_path: Path) -> None:
    write_world(changed(users=400, **CLEAN), tmp_path / "world")
    truth = Truth.read(tmp_path / "world")
    mixtures = np.zeros((400, len(truth.likings)))
    np.add.at(mixtures, (np.arange(400)[:, None], truth.tastes[:, 0]), truth.shares[:, 0])
    alike = mixtures @ mixtures.T
    users = pd.read_csv(tmp_path / "world" / "users.csv")
    kind = (users["country"] + users["gender"] + (users["age"] // 10).astype(str)).fillna("").to_numpy(object)
    same, others = kind[:, None] == kind[None, :], ~np.eye(400, dtype=bool)
    assert alike[same & others].mean() > 1.5 * alike[~same].mean()


def test_what_one_hears_goes_with_the_latent_vectors(tmp_path: Path) -> None:
    write_world(changed(items=500, **CLEAN), tmp_path / "world")
    items = pd.read_csv(tmp_path / "world" / "items.csv")
    vectors = np.stack(pd.read_parquet(tmp_path / "world" / "truth" / "items.parquet")["vector"].tolist())
    design = np.column_stack([vectors, np.ones(len(vectors))])
    for trait in ("energy", "valence", "tempo"):
        values = items[trait].to_numpy()
        fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
        assert np.var(fitted) > 0.3 * np.var(values), trait
    assert items["energy"].between(0, 1).all() and items["tempo"].between(50, 220).all()
    assert (items["year"] == items["released"].str[:4].astype(int)).all()


def test_new_users_and_items_arrive_day_by_day(tmp_path: Path) -> None:
    size, _, events = world(tmp_path, users=2000, items=1000)
    joined, released = (
        days_of(tmp_path / "world", size, table, column)[0]
        for table, column in (("users", "joined"), ("items", "released"))
    )
    assert len(set(joined[joined > 0])) > 0.9 * size.days
    assert len(set(released[released > 0])) > 0.8 * size.days
    assert (joined > 0).mean() == pytest.approx(0.4, abs=0.05)
    assert (released > 0).mean() == pytest.approx(0.2, abs=0.05)
    young = events["day"] - released[events["item"]] < 10
    assert young.mean() > 2 * (np.subtract.outer(np.arange(size.days), released) % 10**6 < 10).mean()


def test_missing_and_misspelt_values_come_at_their_rates(tmp_path: Path) -> None:
    _, summary, _ = world(tmp_path, users=2000, items=2000, missing_share=0.2, misspelt_share=0.1, dirty_share=0.0)
    folder = tmp_path / "world"
    for table, columns in (
        ("users", ["country", "age", "gender"]),
        ("items", ["creator", "category", "energy", "valence", "tempo", "duration", "year"]),
    ):
        missing = pd.read_csv(folder / f"{table}.csv")[columns].isna().mean()
        assert missing.between(0.15, 0.25).all()
    items, truth = pd.read_csv(folder / "items.csv"), pd.read_parquet(folder / "truth" / "items.parquet")
    spelt = items["creator"].notna() & (items["creator"] != truth["creator"])
    assert spelt.sum() == summary.dirt["items"]["misspelt creator"] == 200
    assert {"upper", "lower", "plain", "feat", "the"} == {
        "upper" if name.isupper() else "lower" if name.islower() else "feat" if " feat. " in name
        else "the" if name.startswith("The ") else "plain"
        for name in items["creator"][spelt]
    }  # fmt: skip


def test_a_bookshop_has_what_a_shop_knows_of_books(tmp_path: Path) -> None:
    size = changed(domain="books", users=500, items=2000, missing_share=0.0, dirty_share=0.0, misspelt_share=0.1)
    write_world(size, tmp_path / "world")
    shop = pd.read_csv(tmp_path / "world" / "items.csv")
    assert shop["rating"].between(1, 5).all()
    assert shop["price"].median() == pytest.approx(14, rel=0.1)
    assert shop["pages"].median() == pytest.approx(320, rel=0.1)
    assert (shop["ratings"] >= 0).all()
    assert shop["title"].str.match(r"The \w+ of \w+(, Vol\. \d)?$").all()
    assert set(shop["category"]) <= set(books.CATEGORIES)
    proper = pd.read_parquet(tmp_path / "world" / "truth" / "items.parquet")["creator"]
    assert (shop["creator"] != proper).sum() == 200


def test_names_of_creators_differ_in_two_syllables() -> None:
    names = naming.creators(np.random.default_rng(0), 300)
    syllable = re.compile("|".join(sorted(naming._SYLLABLES, key=len, reverse=True)))
    split = [syllable.findall(name.lower().replace(" ", "")) for name in names]
    assert len(set(names)) == len(names) == 300
    assert min(sum(a != b for a, b in zip(x, y, strict=True)) for x, y in combinations(split, 2)) >= 2


def test_the_truth_is_hard_to_beat(tmp_path: Path) -> None:
    size = changed(users=400, items=300, events_per_user=30)
    write_world(size, tmp_path / "world")
    found = Truth.read(tmp_path / "world").best_recall(size.last_day - timedelta(days=14), 14)
    assert found["users"] > 100
    assert found["oracle"] > 1.5 * found["popularity"] > 0


def test_a_world_is_made_once_and_again_when_it_is_to_be_another(tmp_path: Path) -> None:
    folder = tmp_path / "world"
    said: list[str] = []
    ensure_world(TINY, folder, said.append)
    written = (folder / "items.csv").stat().st_mtime_ns
    ensure_world(TINY, folder, said.append)
    assert (folder / "items.csv").stat().st_mtime_ns == written
    ensure_world(changed(seed=8), folder, said.append)
    assert (folder / "items.csv").stat().st_mtime_ns > written
    assert len(said) == 2


def test_a_world_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(_done: int, _due: int) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        write_world(TINY, tmp_path / "world", wrote=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_yours_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a,b\n")
    with pytest.raises(ConfigError, match="holds other files, which a generated world would replace"):
        ensure_world(TINY, tmp_path)
    assert (tmp_path / "mine.csv").read_text() == "a,b\n"
