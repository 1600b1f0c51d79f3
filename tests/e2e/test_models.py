"""Rivals, warm starts and the search on a small world that has run two nights up to the refit."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import TypeAdapter
from typer.testing import CliRunner

from recommender import pipeline
from recommender.cli import app
from recommender.config.models import ModelConfig
from recommender.config.settings import Settings, load_settings
from recommender.data.dataset import night_end
from recommender.data.split import Split
from recommender.errors import ConfigError, NotReadyError
from recommender.features.loading import fingerprint, load_dataset
from recommender.features.store import feature_store
from recommender.nightly.past import LakePast, validation_material
from recommender.storage import embedded, registry
from recommender.storage.artifacts import verify
from recommender.storage.lake import Lake
from recommender.storage.postgres import connect, libpq_url
from recommender.storage.registry import ModelVersion
from recommender.tuning.study import open_study
from tests.e2e.worlds import FIRST, SECOND, write_profile

RIVALS = """
rivals: [{kind: popularity}, {kind: ease, max_items: 1}]
"""
POPULAR = """
name: small
model: {kind: popularity}
search: {model.half_life_days: {low: 1.0, high: 300.0, log: true}}
"""


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The tower against two rivals, of which one can't be fitted; judged against item-kNN too."""
    folder = tmp_path_factory.mktemp("models")
    path = write_profile(folder, RIVALS)
    path.write_text(path.read_text().replace("holdout_days: 14", "holdout_days: 14, baselines: [item_knn]"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(folder / "home"))
        patch.setenv("RECOMMENDER_PROFILE", str(path))
        settings = load_settings()
        for night, last in ((FIRST, "refit"), (SECOND, "train")):
            for stage in pipeline.STAGES[: pipeline.STAGES.index(last) + 1]:
                getattr(pipeline, stage)(settings, night)
        yield settings
        embedded.stop(settings.postgres)


def candidate(settings: Settings, night: date) -> ModelVersion:
    with connect(settings) as connection:
        return registry.newest_of(connection, night)


def test_the_best_rival_is_the_candidate_and_the_others_are_told(two_nights: Settings) -> None:
    version = candidate(two_nights, FIRST)
    assert version.kind == version.config["model"]["kind"] == "two_tower"
    rivals = version.metrics["rivals"]
    assert set(rivals) == {"popularity", "ease"}
    assert rivals["popularity"]["recall@20"] < version.metrics["validation"]["recall@20"]
    assert rivals["popularity"]["seconds"] >= 0
    assert "max_items" in rivals["ease"]["error"]
    with connect(two_nights) as connection:
        ((summary,),) = connection.execute(
            "select summary from reco.stage_runs where stage = 'train' and ds = %s", [FIRST]
        ).fetchall()
    assert re.search(r"against popularity 0\.\d{4} in \d+ s, ease failed$", summary)


def test_the_candidate_meets_baselines_and_champion_knows_its_verdict(two_nights: Settings) -> None:
    judged = candidate(two_nights, FIRST).metrics["judged"]
    assert set(judged) == {"challenger", "popularity", "item_knn"}
    assert judged["item_knn"]["users"] == judged["challenger"]["users"]


def test_the_refit_begins_as_the_judged_fit_did(two_nights: Settings) -> None:
    version = candidate(two_nights, FIRST)
    assert version.serving_artifact is not None and version.serving_checksum is not None
    verify(version.serving_artifact, version.serving_checksum)
    refitted = json.loads((version.serving_artifact / "metrics.json").read_text())
    assert (refitted["start"]["how"], refitted["start"]["from"]) == ("full", None)
    assert refitted["data"]["trained_to"] == str(FIRST)
    assert refitted["fit"]["epochs"] == version.metrics["fit"]["epochs"]
    kept = json.loads((version.serving_artifact / "profile.json").read_text())
    assert kept["model"] == version.config["model"]


def test_the_next_night_goes_on_from_the_champion(two_nights: Settings) -> None:
    first, second = candidate(two_nights, FIRST), candidate(two_nights, SECOND)
    assert first.metrics["start"]["how"] == "full"
    assert (second.metrics["start"]["how"], second.metrics["start"]["from"]) == ("warm", first.model_version)
    assert len(second.metrics["fit"]["history"]) <= 3 < len(first.metrics["fit"]["history"])
    assert first.metrics["data"]["trained_to"] < second.metrics["data"]["trained_to"]


def test_the_same_night_again_keeps_its_version_wherever_the_champion_is_now(two_nights: Settings) -> None:
    before = candidate(two_nights, SECOND)
    pipeline.judge(two_nights, SECOND)
    said = pipeline.train(two_nights, SECOND)
    assert said.summary == f"{before.model_version} is trained already"
    assert candidate(two_nights, SECOND).checksum == before.checksum
    judged = candidate(two_nights, SECOND).metrics
    assert judged["decay"]["champion"] == candidate(two_nights, FIRST).model_version
    fresh, then = judged["decay"]["fresh"], judged["decay"]["judged"]
    assert judged["decay"]["decayed"] == (fresh < 0.9 * then)


def test_nothing_is_left_of_the_way_there_but_curves(two_nights: Settings) -> None:
    assert not list(two_nights.checkpoints.glob("*"))
    curves = {path.name for path in two_nights.tensorboard.iterdir() if any(path.glob("**/events.*"))}
    assert {candidate(two_nights, night).model_version for night in (FIRST, SECOND)} <= curves


def test_the_models_are_listed(two_nights: Settings) -> None:
    listed = CliRunner().invoke(app, ["models", "--json"])
    second, first = json.loads(listed.stdout)
    assert (first["ds"], first["training"], sorted(first["rivals"])) == (str(FIRST), "full", ["ease", "popularity"])
    assert (second["training"], second["start"]) == ("warm", first["model_version"])
    assert 0 < first["recall@20"] < 1 and first["megabytes"] > 0.01
    table = CliRunner().invoke(app, ["models"]).stdout
    assert f"warm from {first['model_version']}" in table


def test_a_version_that_is_trained_again_is_the_one_to_judge(two_nights: Settings) -> None:
    newest = candidate(two_nights, SECOND).model_version
    with connect(two_nights) as connection:
        connection.execute(
            """insert into reco.models (model_version, kind, ds, status, artifact, checksum, config, metrics)
               select 'another', kind, ds, 'candidate', artifact, checksum, config, metrics
               from reco.models where model_version = %s""",
            [newest],
        )
    assert candidate(two_nights, SECOND).model_version == "another"
    pipeline.train(two_nights, SECOND)
    assert candidate(two_nights, SECOND).model_version == newest
    with connect(two_nights) as connection:
        connection.execute("delete from reco.models where model_version = 'another'")


def test_a_refit_with_nothing_to_do_says_why(two_nights: Settings) -> None:
    assert pipeline.refit(two_nights, SECOND).summary == "nothing was promoted tonight, nothing to refit"
    training = two_nights.profile.training.model_copy(update={"refit": False})
    without = replace(two_nights, profile=two_nights.profile.model_copy(update={"training": training}))
    champion = candidate(two_nights, FIRST).model_version
    expected = f"training.refit is off: {champion} serves as it was judged"
    assert pipeline.refit(without, FIRST).summary == expected


def test_a_refit_whose_start_is_damaged_goes_on_from_what_was_judged(two_nights: Settings) -> None:
    first, second = candidate(two_nights, FIRST), candidate(two_nights, SECOND)
    with connect(two_nights) as connection:
        connection.execute("update reco.models set status = 'retired' where status = 'champion'")
        connection.execute(
            "update reco.models set status = 'champion' where model_version = %s", [second.model_version]
        )
    weights = next((first.serving_artifact or first.artifact).rglob("weights.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    pipeline.refit(two_nights, SECOND)
    weights.write_bytes(whole)
    refitted = json.loads((candidate(two_nights, SECOND).served[0] / "metrics.json").read_text())
    assert refitted["start"]["from"] == second.model_version
    assert refitted["fit"]["epochs"] == second.metrics["fit"]["epochs"]
    assert refitted["data"]["trained_to"] == str(SECOND)


def everything(settings: Settings) -> dict[str, Any]:
    """All files but the server's and all rows that training could read."""
    files = {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in settings.world.rglob("*")
        if path.is_file() and settings.postgres not in path.parents and path.name != ".lock"
    }
    with connect(settings) as connection:
        tables = connection.execute(
            "select format('reco.%I', table_name) from information_schema.tables where table_schema = 'reco'"
        ).fetchall()
        rows = {name: connection.execute(f"select count(*) from {name}").fetchone() for (name,) in tables}
    return {**files, **rows}


def test_evaluating_leaves_nothing_behind(two_nights: Settings) -> None:
    pipeline.publish(two_nights, FIRST)
    before = everything(two_nights)
    assert pipeline.evaluate(two_nights, FIRST, days=3)["users"] > 10
    assert everything(two_nights) == before


def test_a_search_knows_nothing_of_the_holdout(two_nights: Settings) -> None:
    profile, split = two_nights.profile, Split.of(two_nights.profile, SECOND)
    lake, store = Lake(two_nights.lake), feature_store(two_nights, libpq_url(two_nights))

    def seen() -> tuple[Any, ...]:
        material = validation_material(lake, profile, store, split)
        assert material.truth is not None
        choices = material.truth.relevant.tocoo()
        return (
            fingerprint(material.dataset),
            material.rows.event.tolist(),
            sorted(zip(choices.row.tolist(), choices.col.tolist(), strict=True)),
        )

    before = seen()
    holdout = pd.Timestamp(night_end(split.judged_at)).tz_localize(None)
    for night in (FIRST, SECOND):
        events = lake.read("events", night)
        late = events["ts"] >= holdout
        assert late.any()
        lake.write("events", night, events[~late], lake.facts("events", night))
    assert seen() == before


def test_the_past_is_what_was_known_then_in_the_same_indices(two_nights: Settings) -> None:
    lake, cut = Lake(two_nights.lake), Split.of(two_nights.profile, SECOND).trained_to
    past = LakePast(lake, two_nights.profile, feature_store(two_nights, libpq_url(two_nights)), cut, known=SECOND)
    then = max(night for night in lake.nights("user_features") if night < cut)
    now = load_dataset(lake, two_nights.profile, cut, known=SECOND)
    dataset, rows, truth = past.before((cut - then).days)
    assert dataset.ds == then
    np.testing.assert_array_equal(dataset.item_ids, now.item_ids)
    known = now.ts < dataset.until
    np.testing.assert_array_equal(dataset.item, now.item[known])
    assert len(rows.event) <= known.sum() < len(now.ts)
    came = set(zip(now.user[~known].tolist(), now.item[~known].tolist(), strict=True))
    chosen = truth.relevant.tocoo()
    assert set(zip(truth.users[chosen.row].tolist(), chosen.col.tolist(), strict=True)) <= came
    assert past.before((cut - then).days)[0] is dataset
    with pytest.raises(NotReadyError, match="no events up to"):
        past.before(4000)


@pytest.fixture
def popular(two_nights: Settings, tmp_path: Path) -> Settings:
    """The same world, searched over popularity's half-life."""
    content = yaml.safe_load(two_nights.profile_path.read_text()) | yaml.safe_load(POPULAR) | {"rivals": []}
    path = tmp_path / "popular.yaml"
    path.write_text(yaml.safe_dump(content))
    return replace(load_settings(str(path)), data=two_nights.data)


def test_a_search_finds_the_best_and_runs_no_trial_twice(popular: Settings) -> None:
    lines: list[str] = []
    found = pipeline.tune(popular, SECOND, trials=4, progress=lines.append)
    assert found.trials == 4
    scored = [float(figure) for line in lines for figure in re.findall(r"^trial \d+: recall@20 (\S+),", line)]
    assert len(scored) == 4
    assert found.recall == pytest.approx(max(scored), abs=1e-4)
    again = pipeline.tune(popular, SECOND, trials=4)
    assert (again.study, again.trials, again.recall, again.section) == (
        found.study,
        4,
        found.recall,
        found.section,
    )
    model = TypeAdapter(ModelConfig).validate_python(yaml.safe_load(found.section)["model"])
    assert 1 < model.half_life_days < 300
    page = found.report.read_text()
    assert "What mattered" in page and "Plotly" in page
    assert not re.search(r"<script[^>]+src=", page)


def test_a_search_over_folds_gives_a_spread(popular: Settings) -> None:
    result = CliRunner().invoke(
        app, ["tune", "--ds", str(SECOND), "--trials", "2", "--folds", "2", "--profile", str(popular.profile_path)]
    )
    assert result.exit_code == 0, result.output
    assert re.search(r"2 trials: best recall@20 0\.\d+ ± 0\.\d+ over the folds", result.output)
    assert "half_life_days:" in result.output


def test_a_study_is_of_one_night_and_one_process(popular: Settings) -> None:
    pipeline.tune(popular, SECOND, trials=1, name="mine")
    with pytest.raises(ConfigError, match="study mine was begun on another night, profile or number of folds"):
        pipeline.tune(popular, SECOND, trials=1, folds=2, name="mine")
    with open_study(popular, "busy", "", 0, print), pytest.raises(NotReadyError, match="another process is searching"):
        pipeline.tune(popular, SECOND, trials=1, name="busy")


def test_a_killed_trial_is_tried_again(two_nights: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOMMENDER__MODEL__MAX_EPOCHS", "2")
    command = [str(Path(sys.executable).parent / "recommender"), "tune", "--ds", str(SECOND), "--trials", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*command, "--study", "killed"], env=environment, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if "trial 0: epoch 1" in line:
                child.kill()
                break
    assert child.wait() == -9
    lines: list[str] = []
    found = pipeline.tune(load_settings(), SECOND, trials=1, name="killed", progress=lines.append)
    assert found.trials == 1
    assert "trial 0 was interrupted, its settings are tried again" in lines
    assert any(line.startswith("trial 1: recall@20") for line in lines)
