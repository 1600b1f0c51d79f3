"""What a profile may say: one pydantic model a section, every unknown key refused."""

import difflib
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from recommender.columns import AGE, AGE_BAND, CATEGORY, CREATOR, ITEM_ID, TITLE, TS, USER_ID
from recommender.config.features import Features
from recommender.config.models import ModelConfig
from recommender.config.policy import Baseline
from recommender.config.preprocessing import Preprocessing
from recommender.config.publish import Publish
from recommender.config.reasons import Reasons, misnamed
from recommender.config.search import Search, refused
from recommender.config.section import Section
from recommender.config.source import EventSource, Source
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower


class Words(Section):
    """What people read: the domain's own nouns."""

    user: str = "user"
    item: str = "item"
    event: str = "event"
    creator: str = "creator"
    category: str = "category"


class SyntheticWorld(Section):
    """Size and character of the generated world; used when a profile has no data of its own."""

    domain: Literal["music", "books"] = "music"
    """What items are: it names them and gives them numeric attributes."""
    users: Annotated[int, Field(ge=10)] = 1500
    items: Annotated[int, Field(ge=10, le=1_000_000)] = 1200
    creators: Annotated[int, Field(ge=1)] | None = None
    """One for every eight items when null."""
    categories: Annotated[int, Field(ge=2, le=24)] = 12
    days: Annotated[int, Field(ge=30)] = 240
    last_day: date = date(2026, 3, 31)
    events_per_user: Annotated[float, Field(gt=0)] = 50.0
    """On average; the most active users have many times as many."""
    repeats: bool = False
    """Whether a user may choose an item again."""
    seed: Annotated[int, Field(ge=0)] = 7
    popularity: Annotated[float, Field(ge=0, le=3)] = 0.8
    """Exponent of the items' appeal: rank to the power of minus this. 0: all alike."""
    drift: Annotated[float, Field(ge=0, le=1)] = 0.4
    """How far every user's taste moves from the first to the last day: 0 not at all, 1 to another taste altogether."""
    seasonality: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How much the weekday, the time of year and the hour matter; 0: events are spread evenly."""
    new_user_share: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Users who join after the first day, some every day."""
    new_item_share: Annotated[float, Field(ge=0, le=0.9)] = 0.2
    """Items released after the first day, some every day."""
    missing_share: Annotated[float, Field(ge=0, le=1)] = 0.03
    """Missing values in every attribute of users and items."""
    misspelt_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Items whose creator is spelt another way: case, accents, `feat.`, `the`."""
    dirty_share: Annotated[float, Field(ge=0, le=0.5)] = 0.002
    """Unusable rows added to every table, for every usable one."""


class Quality(Section):
    """What the night's batch must show beside the suites in `expectations/`."""

    expectations: Path | None = None
    """A folder with suites of your own, `events.yaml` and so on, beside the profile. Their entries are added to the
    shipped ones; one with the same `expect` and column replaces the shipped one, and `severity: off` removes it."""
    max_rejected_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Of the night's event rows; with more in quarantine the night stops."""
    max_deleted_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Of the known events; when more are gone from the source, the night stops: rather a broken delivery."""


class Names(Section):
    """Which spellings of creators and categories are one name; every merge is kept in the lake's `name_merges`."""

    columns: tuple[str, ...] = (CREATOR, CATEGORY)
    """Text and list columns of the items; those that hold ids are left alone."""
    apply_above: Annotated[float, Field(ge=0.5, le=1)] = 0.95
    """Merges with less confidence are only listed."""
    overrides: Path | None = None
    """A CSV file beside the profile with what people decided: `column,value,canonical`; a value that is its own
    canonical is kept apart."""


class Engine(Section):
    """What computes on tables, and what it may use of this machine."""

    kind: Literal["duckdb", "spark"] = "duckdb"
    """What feature snapshots and Feast's point-in-time joins run on; all else runs on DuckDB."""
    memory_gb: Annotated[float, Field(gt=0)] = 2.0
    """Past this DuckDB spills to disk; also the memory of Spark's driver, which in local mode is all of Spark."""
    threads: Annotated[int, Field(gt=0)] | None = None
    """All cores when null."""
    spark_master: str | None = None
    """`spark://host:7077`, `yarn`, `k8s://https://host:6443`; null: Spark's local mode, with `threads`."""
    spark: dict[str, str | bool | int | float] = Field(default_factory=dict)
    """Any setting of Spark, such as `spark.executor.memory: 8g`; it goes before what is said above."""

    @field_validator("spark_master")
    @classmethod
    def _is_a_master(cls, master: str | None) -> str | None:
        if master is not None and not re.fullmatch(r"local(\[.+\])?|yarn|(spark|k8s)://.+", master):
            raise ValueError(
                f"{master!r} is no master of Spark's: write spark://host:7077, yarn or k8s://https://host:6443"
            )
        return master

    @field_validator("spark")
    @classmethod
    def _are_settings(cls, settings: dict[str, str | bool | int | float]) -> dict[str, str | bool | int | float]:
        if wrong := [name for name in settings if not name.startswith("spark.")]:
            raise ValueError(f"{wrong[0]!r} is no setting of Spark's: their names begin with spark.")
        return settings


class Evaluation(Section):
    """What a candidate is judged on."""

    holdout_days: Annotated[int, Field(gt=0)] = 28
    """Last days up to `ds` that a candidate never sees before it is judged."""
    k: tuple[Annotated[int, Field(gt=0)], ...] = (10, 20)
    """List lengths at which metrics are computed; 20 is always among them."""
    baselines: tuple[Baseline, ...] = ("popularity",)
    """Simple models that are fitted by their defaults and judged on the same users; popularity is always among them.
    A rule of the gate may say `against: ease`."""


class Gate(Section):
    """What a candidate must show before it serves."""

    policy: Path | None = None
    """A policy file to use instead of the shipped `policies/default.yaml`."""
    recent_days: Annotated[int, Field(gt=0)] = 56
    """Of so many days the best champion is judged again beside the candidate, as `best_recent`, so that many small
    losses don't add up."""


class Schedule(Section):
    """When nights run."""

    cron: str | None = "0 2 * * *"
    """When a night runs, in UTC, on the day after; null: only by hand."""
    start_date: date = date(2026, 1, 1)
    """The first night. The first run takes in everything up to its end."""
    end_date: date | None = None
    """The last night, for data that ends."""


class Profile(Section):
    """One domain: its files, features, model, gate and publication."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    """Also the name of its folder under RECOMMENDER_HOME."""
    words: Words = Words()
    events: EventSource
    """Needs columns user_id, item_id and ts."""
    users: Source | None = None
    """Needs column user_id; without it whoever has an event is a user."""
    items: Source | None = None
    """Needs column item_id; without it whatever has an event is an item."""
    synthetic: SyntheticWorld | None = None
    """Generate the source files where no folder of yours is given."""
    quality: Quality = Quality()
    names: Names = Names()
    engine: Engine = Engine()
    features: Features = Features()
    preprocessing: Preprocessing = Preprocessing()
    model: ModelConfig = TwoTower()
    """What is trained every night; its `kind` says which of the sections below it is."""
    rivals: tuple[ModelConfig, ...] = ()
    """Trained beside it; the one that does best on the validation days becomes the night's candidate."""
    search: Search = Field(default_factory=dict)
    """What `recommender tune` tries, by key, such as `model.temperature: {low: 0.03, high: 0.2, log: true}` or
    `model.dimension: {choices: [128, 256]}`; empty: what is usual for the kind of model."""
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    gate: Gate = Gate()
    publish: Publish = Publish()
    reasons: Reasons = Field(default_factory=dict)
    """What is said of an input of the model where it speaks for an item, by name, such as
    `known_creator: "you play {creator}"`; docs/explanations.md has the names, the marks and what is said by default."""
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _prepared_features(self) -> "Profile":
        declared = sorted({*self.features.user, *self.features.item})
        for name in self.preprocessing.features:
            if name not in declared:
                near = difflib.get_close_matches(name, declared, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"declared are {', '.join(declared)}"
                raise ValueError(f"preprocessing.features: no feature named {name!r} is declared; {hint}")
        return self

    @model_validator(mode="after")
    def _searchable(self) -> "Profile":
        if (problem := refused(self.model, self.search)) is not None:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _reasons_of_inputs(self) -> "Profile":
        features = {*self.features.user, *self.features.item, *self.features.pair}
        if (problem := misnamed(self.reasons, {*features, *getattr(self.model, "parts", {})})) is not None:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _required_columns(self) -> "Profile":
        required = {"events": (USER_ID, ITEM_ID, TS), "users": (USER_ID,), "items": (ITEM_ID,)}
        for table, names in required.items():
            source: Source | None = getattr(self, table)
            missing = [name for name in names if source is not None and name not in source.columns]
            if missing:
                raise ValueError(f"{table}.columns lacks {', '.join(missing)}")
        return self

    @model_validator(mode="after")
    def _nothing_personal_is_published(self) -> "Profile":
        for name in (ITEM_ID, TITLE, CREATOR):
            if self.items is not None and name in self.items.columns and self.items.columns[name].personal:
                raise ValueError(f"items.columns.{name} is published with the recommendations: it can't be personal")
        return self


def personal_columns(profile: Profile, table: str) -> set[str]:
    """Columns of a table of the lake whose values no log, report, Data Doc or recommendation may show.

    That is `user_id` everywhere, every column of the users unless it says `personal: false`, and any column that says
    `personal: true`. Snapshots of features follow the table whose attributes they repeat.
    """
    described = {"user_features": "users", "item_features": "items"}.get(table, table)
    if table.endswith("_category_affinity"):  # its rows are of groups of users
        described = "users"
    source: Source | None = getattr(profile, described) if described in ("events", "users", "items") else None
    columns = source.columns if source is not None else {}
    personal = {USER_ID} | {
        name
        for name, column in columns.items()
        if (described == "users" if column.personal is None else column.personal)
    }
    if AGE in personal and AGE_BAND not in columns:  # derived from the age
        personal.add(AGE_BAND)
    return personal
