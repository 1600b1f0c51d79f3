"""Which snapshots have to be built again."""

from datetime import datetime
from pathlib import Path

from recommender.features.definitions import declared_features, feature_tables
from recommender.features.provenance import built_versions, outdated
from recommender.features.snapshots import build_snapshots
from recommender.storage.lake import Lake
from tests.features.by_hand import Event
from tests.features.furniture import D1, D2, D8, ITEMS, land, make_profile, snapshot


def test_a_changed_definition_makes_its_snapshots_outdated(tmp_path: Path) -> None:
    lake, profile = Lake(tmp_path), make_profile()
    land(lake, [Event("ann", "desk", datetime(2020, 1, 1))], D8)
    tables = feature_tables(profile)
    build_snapshots(lake, profile, {name: [D1, D2] for name in tables}, known=D8)
    assert {name: outdated(lake, table, [D1, D2, D8], known=D8) for name, table in tables.items()} == {
        name: [D8] for name in tables
    }
    assert built_versions(lake, "user_features", D1) == {f.name: f.version for f in declared_features(profile, "user")}
    columns = dict(profile.items.columns) if profile.items else {}
    scaled = columns["energy"].model_copy(update={"column": None, "sql": "energy / 100"})
    items = profile.items.model_copy(update={"columns": {**columns, "energy": scaled}}) if profile.items else None
    changed = feature_tables(profile.model_copy(update={"items": items}))
    assert outdated(lake, changed["user_features"], [D1], known=D8) == [D1], "a taste is made of the column"
    assert outdated(lake, changed["item_features"], [D1], known=D8) == []
    beside = outdated(lake, changed["user_features"], [D8], known=D8)
    assert beside == [D1, D2, D8], "training rows are joined with the snapshots of other nights too"


def test_a_night_that_runs_again_does_not_learn_what_landed_after_it(tmp_path: Path) -> None:
    lake, profile = Lake(tmp_path), make_profile()
    noon = datetime(2020, 1, 1, 12)
    land(lake, [Event("ann", "desk", noon)], D2)
    land(lake, [Event("ann", "sofa", noon)], D8)
    table = feature_tables(profile)["user_features"]
    build_snapshots(lake, profile, {table.name: [D1]}, known=D8)
    assert snapshot(lake, table.name, D1, "user_id")["ann"]["events_total"] == 2
    assert outdated(lake, table, [D1], known=D8) == []
    assert outdated(lake, table, [D1], known=D2) == [D1]
    build_snapshots(lake, profile, {table.name: [D1]}, known=D2)
    assert snapshot(lake, table.name, D1, "user_id")["ann"]["events_total"] == 1
    assert outdated(lake, table, [D1], known=D8) == [], "what is known later makes no snapshot wrong"


def test_what_the_lake_had_no_column_for_is_built_once_it_has(tmp_path: Path) -> None:
    lake, profile = Lake(tmp_path), make_profile()
    events = [Event("ann", "desk", datetime(2020, 1, 1))]
    older = {
        item: {k: v for k, v in columns.items() if k not in ("energy", "category")} for item, columns in ITEMS.items()
    }
    land(lake, events, D2, older)
    tables = feature_tables(profile)
    todo = {name: [D1, D2] for name in tables}
    build_snapshots(lake, profile, todo, known=D2)
    without = {name for name, table in tables.items() if built_versions(lake, name, D1) != table.versions}
    assert "user_features" in without and {name for name in tables if name.endswith("affinity")} <= without
    land(lake, events, D2)
    for name, table in tables.items():
        assert outdated(lake, table, [D1, D2], known=D2) == [D1, D2] * (name in without)
    build_snapshots(lake, profile, todo, known=D2)
    assert not any(outdated(lake, table, [D1, D2], known=D2) for table in tables.values())
