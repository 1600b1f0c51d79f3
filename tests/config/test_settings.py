"""Settings: precedence, precise errors, the remembered selection."""

from datetime import date
from pathlib import Path

import pytest

from recommender.config.policy import DEFAULT_POLICY, load_policy
from recommender.config.reference import reference
from recommender.config.settings import PROFILES, load_settings, nights, parse_ds, select
from recommender.errors import ConfigError, SourceError
from recommender.features.definitions import declared_features

MINIMAL = """
name: shop
events: {path: events.csv, columns: {user_id: u, item_id: i, ts: t}}
items: {path: items.csv, columns: {item_id: i}}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(MINIMAL)
    return path


def test_environment_beats_profile_beats_default(home: Path, tmp_path: Path, profile: Path, monkeypatch) -> None:
    profile.write_text(MINIMAL + "training: {seed: 5, window_days: 100}\n")
    monkeypatch.setenv("RECOMMENDER__TRAINING__SEED", "9")
    training = load_settings(str(profile), tmp_path).profile.training
    assert (training.seed, training.window_days, training.validation_days) == (9, 100, 14)


def test_the_selection_is_remembered_and_an_argument_beats_it(home: Path, tmp_path: Path, profile: Path) -> None:
    assert load_settings().profile.name == "synthetic"
    select(load_settings(str(profile), tmp_path))
    remembered = load_settings()
    assert (remembered.profile.name, remembered.data) == ("shop", tmp_path)
    assert remembered.world == home / "shop"
    assert load_settings("synthetic").profile.name == "synthetic"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training: {sed: 5}", "training: no key is called 'sed'; did you mean 'seed'?"),
        ("training: {colour: 5}", "training.colour"),
        ("training: {seed: -1}", "training.seed: Input should be greater than or equal to 0"),
        ("training: {checkpoint_minutes: .inf}", "training.checkpoint_minutes: Input should be a finite number"),
        ("model: {weight_decay: .nan}", "model.weight_decay: Input should be a finite number"),
        ("model: {dimension: 1}", "model.dimension"),
        ("name: Shop!", "name: String should match"),
        ("events: {path: events.csv, columns: {user_id: u, item_id: i}}", "events.columns lacks ts"),
        ("events: {path: events.txt, columns: {user_id: u, item_id: i, ts: t}}", "cannot tell the format"),
        ("items: {path: i.csv, columns: {item_id: {column: a, sql: b}}}", "give exactly one of `column`, `sql`"),
        ("publish: [1]", "publish"),
    ],
)
def test_a_wrong_profile_is_one_line_that_names_the_key(
    home: Path, tmp_path: Path, profile: Path, change: str, message: str
) -> None:
    key = change.split(":")[0]
    kept = [line for line in MINIMAL.splitlines() if not line.startswith(f"{key}:")]
    profile.write_text("\n".join([*kept, change]))
    with pytest.raises(ConfigError) as caught:
        load_settings(str(profile), tmp_path)
    assert message in str(caught.value)
    assert str(profile) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_home_that_cannot_be_written_is_refused(home: Path, tmp_path: Path, profile: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECOMMENDER_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(ConfigError, match="cannot write in .*file/home: Not a directory; set RECOMMENDER_HOME"):
        select(load_settings(str(profile), tmp_path))


def test_what_is_missing_is_named(home: Path, tmp_path: Path, profile: Path) -> None:
    with pytest.raises(ConfigError, match="shipped profiles: artists, books, films, music, synthetic"):
        load_settings("jazz")
    with pytest.raises(SourceError, match="nowhere does not exist"):
        load_settings(str(profile), tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="needs data: give --data DIR"):
        load_settings(str(profile))
    profile.write_text("name: [unclosed")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load_settings(str(profile), tmp_path)


@pytest.mark.parametrize("name", sorted(path.stem for path in PROFILES.glob("*.yaml")))
def test_every_shipped_profile_is_valid_to_its_last_feature(home: Path, tmp_path: Path, name: str) -> None:
    profile = load_settings(name, tmp_path).profile
    assert profile.name == name
    assert declared_features(profile, "user")
    assert declared_features(profile, "item")


def test_an_unknown_feature_is_refused_with_the_nearest_name(home: Path, tmp_path: Path, profile: Path) -> None:
    profile.write_text(MINIMAL + "features: {user: [evnts_30d]}\n")
    with pytest.raises(ConfigError, match="no feature named 'evnts_30d'; did you mean 'events_30d'"):
        declared_features(load_settings(str(profile), tmp_path).profile, "user")


def test_dates() -> None:
    assert parse_ds("2014-04-30") == date(2014, 4, 30)
    with pytest.raises(ConfigError, match="not '30.4.2014'"):
        parse_ds("30.4.2014")
    assert nights(date(2014, 2, 27), date(2014, 3, 1)) == [date(2014, 2, 27), date(2014, 2, 28), date(2014, 3, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: []", "rules"),
        ("rules: [{name: a, metric: m}]", "exactly one of `at_least`, `at_most`"),
        ("rules: [{name: a, metric: m, at_least: 1}, {name: a, metric: n, at_most: 1}]", "rule names must differ: a"),
        ("rules: [{name: a, metric: m, at_least: 1, against: rival}]", "rules.0.against"),
        ("rules: [{name: a, metric: m, at_least: 1, certainty: 1}]", "rules.0.certainty"),
        ("rules: [{name: a, metric: m, at_least: 1, otherwise: wait}]", "rules.0.otherwise"),
        ("rules: [{name: a, metric: m, at_least: 1, certanty: 0.9}]", "did you mean 'certainty'"),
        ("{ask: {within_hours: 24}, rules: [{name: a, metric: m, at_least: 1}]}", "ask.within_hours"),
    ],
)
def test_a_wrong_policy_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_policy(path)


def test_the_shipped_policy_is_valid() -> None:
    assert len(load_policy(DEFAULT_POLICY).rules) >= 4
    with pytest.raises(ConfigError, match="does not exist"):
        load_policy(Path("/nowhere.yaml"))


def test_a_policys_version_changes_with_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    versions = set()
    for bound in ("1.0", "1", "1.05"):
        path.write_text(f"name: strict\nrules: [{{name: a, metric: m, at_least: {bound}}}]  # a comment")
        versions.add(load_policy(path).version)
    assert len(versions) == 2
    assert all(version.startswith("strict-") for version in versions)


def test_the_committed_reference_is_the_one_the_sections_make() -> None:
    committed = Path(__file__).parents[2] / "docs" / "profile.md"
    assert committed.read_text() == reference(), "run `python -m recommender.config.reference > docs/profile.md`"


def test_a_look_up_needs_no_data_and_a_named_profile_finds_the_data_it_ran_on(
    home: Path, tmp_path: Path, profile: Path
) -> None:
    assert load_settings(str(profile), reads_sources=False).profile.name == "shop"
    select(load_settings(str(profile), tmp_path))
    assert load_settings(str(profile)).data == tmp_path


def test_another_kind_of_model_stands_alone(profile: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile.write_text(profile.read_text() + "model: {dimension: 32}\nengine: {memory_gb: 3}\n")
    monkeypatch.setenv("RECOMMENDER__MODEL__KIND", "ease")
    monkeypatch.setenv("RECOMMENDER__ENGINE__KIND", "spark")
    changed = load_settings(str(profile), reads_sources=False).profile
    assert (changed.model.kind, changed.engine.kind, changed.engine.memory_gb) == ("ease", "spark", 3)
    monkeypatch.setenv("RECOMMENDER__MODEL__KIND", "two_tower")
    assert load_settings(str(profile), reads_sources=False).profile.model.dimension == 32


def test_keys_of_a_section_beat_its_null(profile: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOMMENDER__MODEL__TEACHER", "null")
    monkeypatch.setenv("RECOMMENDER__MODEL__TEACHER__REGULARISATION", "7")
    teacher = load_settings(str(profile), reads_sources=False).profile.model.teacher
    assert teacher is not None and teacher.regularisation == 7


@pytest.mark.parametrize("text", ["3", "ease", "[1]", "false"])
def test_keys_of_what_is_no_section_are_one_line(
    profile: Path, home: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("RECOMMENDER__MODEL__TEACHER", text)
    monkeypatch.setenv("RECOMMENDER__MODEL__TEACHER__KIND", "ease")
    with pytest.raises(
        ConfigError, match="RECOMMENDER__MODEL__TEACHER__KIND: another variable makes teacher .*: unset"
    ):
        load_settings(str(profile), reads_sources=False)


@pytest.mark.parametrize(
    ("text", "message"), [("much", "RECOMMENDER__TRAINING__SEED: training.seed"), ("[", "not a YAML")]
)
def test_a_wrong_variable_is_named(
    home: Path, tmp_path: Path, profile: Path, monkeypatch, text: str, message: str
) -> None:
    monkeypatch.setenv("RECOMMENDER__TRAINING__SEED", text)
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_settings(str(profile), tmp_path)
