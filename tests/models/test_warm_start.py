"""Going on from an earlier night: who was known keeps what was learned, who is new starts from what is known."""

import dataclasses
from datetime import timedelta
from functools import cache

import numpy as np
import pytest
import torch

from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import SECONDS_A_DAY, Dataset
from recommender.errors import ArtifactError
from recommender.features.definitions import Feature
from recommender.models.base import Support
from recommender.models.popularity import Popularity
from recommender.models.two_tower import TwoTower
from tests.models.worlds import COLOURS, DS, ITEM_FEATURES, ITEMS, USER_FEATURES, USERS, checkerboard, rows_of, truth_of

SMALL = {
    "dimension": 16,
    "history_length": 6,
    "batch_size": 64,
    "max_epochs": 10,
    "learning_rate": 0.01,
    "warm_epochs": 2,
}
FUSIONS = ["sum", "concat", "adaptive_mimic", "gated"]
HELD = 1e-9
"""A learning rate at which nothing moves: the weights before the first step."""


def make(features: list[Feature] = ITEM_FEATURES, **keys: object) -> TwoTower:
    config = TwoTowerConfig.model_validate({**SMALL, **keys})
    return TwoTower(config, Training(seed=1, device="cpu"), USER_FEATURES, features)


@cache
def started(**keys: object) -> TwoTower:
    model, dataset = make(**keys), checkerboard()
    model.fit(dataset, rows_of(dataset))
    return model


def next_night() -> Dataset:
    """Two more users and four more items, each with a few events of its own colour; a new first category."""
    before = checkerboard(users=USERS + 2, items=ITEMS + 4, ds=DS + timedelta(days=1))
    pairs = [(user, item) for user in range(USERS + 2) for item in range(ITEMS, ITEMS + 4) if (user + item) % 2 == 0]
    pairs += [(user, item) for user in (USERS, USERS + 1) for item in range(user % 2, 10, 2)]
    user, item = (
        np.concatenate([old, [pair[n] for pair in pairs]]) for n, old in enumerate((before.user, before.item))
    )
    ts = np.concatenate([before.ts, np.full(len(pairs), before.until - SECONDS_A_DAY // 2)])
    order = np.lexsort((ts, user))
    return dataclasses.replace(
        before,
        user=user[order].astype(np.int32),
        item=item[order].astype(np.int32),
        ts=ts[order].astype(np.int64),
        weight=np.ones(len(user), np.float32),
        item_features=before.item_features.assign(events_total=np.bincount(item, minlength=ITEMS + 4)),
        user_features=before.user_features.assign(events_total=np.bincount(user, minlength=USERS + 2)),
    )


def weights(model: TwoTower) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model._trained().towers.state_dict().items()}


@cache
def carried(**keys: object) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights of a night, and of the next one before its first step."""
    start, dataset = started(**keys), next_night()
    model = make(**keys, learning_rate=HELD, weight_decay=0)
    model.fit(dataset, rows_of(dataset), epochs=1, support=Support(start=start))
    return weights(start), weights(model)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_whoever_was_known_keeps_their_vector(fusion: str) -> None:
    before, after = carried(fusion=fusion)
    for name, old in before.items():
        new = after[name][: len(old)]  # ids are sorted and the new ones come last, as do rarer categories
        torch.testing.assert_close(new, old, atol=1e-6, rtol=0, msg=name)


def test_it_begins_at_a_share_of_the_rate_and_comes_to_rest() -> None:
    start, dataset = started(), next_night()
    rates, moved = {}, {}
    for share in (0.01, 1.0):
        model = make(warm_rate=share, averaging=0)
        report = model.fit(dataset, rows_of(dataset), support=Support(start=start))
        rates[share] = [entry["learning_rate"] for entry in report.history]
        before, after = weights(start)["item.ids.weight"], weights(model)["item.ids.weight"]
        moved[share] = float((after[: len(before)] - before).norm())
    assert 0 < moved[0.01] < 0.1 * moved[1.0]
    for share, (first, last) in rates.items():
        assert last < 0.2 * first < first < share * SMALL["learning_rate"]


def test_new_ids_start_at_zero_where_vectors_are_added_to_the_metadata() -> None:
    _, after = carried(fusion="sum")
    assert after["item.ids.weight"].shape == (ITEMS + 5, 16)
    assert after["item.ids.weight"][ITEMS + 1 :].abs().max() < 1e-6
    assert after["user.ids.weight"][USERS + 1 :].abs().max() < 1e-6


@pytest.mark.parametrize("fusion", ["concat", "adaptive_mimic", "gated"])
def test_new_ids_start_at_the_mean_of_their_category_elsewhere(fusion: str) -> None:
    before, after = carried(fusion=fusion)
    tables = ["item.ids.weight"] + (["item.fusion.augmented.weight"] if fusion != "concat" else [])
    for table in tables:
        for new in range(ITEMS, ITEMS + 4):
            alike = before[table][1:][np.arange(ITEMS) % 2 == new % 2].mean(0)
            torch.testing.assert_close(after[table][new + 1], alike, atol=1e-6, rtol=0)


def test_the_most_special_category_counts_first() -> None:
    creator = dataclasses.replace(ITEM_FEATURES[1], name="creator")
    features = [*ITEM_FEATURES, creator]

    def with_creators(dataset: Dataset) -> Dataset:
        names = np.array([f"c{n // 2 % 4}" for n in range(len(dataset.item_ids))], object)
        names[-1] = "someone else"
        return dataclasses.replace(dataset, item_features=dataset.item_features.assign(creator=names))

    start, dataset = make(features, fusion="concat"), with_creators(checkerboard())
    start.fit(dataset, rows_of(dataset), epochs=2)
    tonight = with_creators(next_night())
    model = make(features, fusion="concat", learning_rate=HELD, weight_decay=0)
    model.fit(tonight, rows_of(tonight), epochs=1, support=Support(start=start))
    before, after = weights(start)["item.ids.weight"], weights(model)["item.ids.weight"]
    codes = np.arange(ITEMS) // 2 % 4
    codes[-1] = -1
    torch.testing.assert_close(after[ITEMS + 1], before[1:][codes == ITEMS // 2 % 4].mean(0), atol=1e-6, rtol=0)
    black = before[1:][np.arange(ITEMS) % 2 == 1].mean(0)
    torch.testing.assert_close(after[ITEMS + 4], black, atol=1e-6, rtol=0)  # an unheard-of creator, a known category


def test_categories_are_found_again_by_their_name() -> None:
    start, dataset = started(), next_night()
    colours = np.append(COLOURS, "grey")[[n % 2 if n < ITEMS else 2 for n in range(ITEMS + 4)]]
    tonight = dataclasses.replace(dataset, item_features=dataset.item_features.assign(category=colours))
    more = np.flatnonzero(np.isin(tonight.item, np.arange(0, ITEMS, 2)))  # white ones less often: they come second
    rows = rows_of(tonight)
    kept = np.setdiff1d(np.arange(len(rows.event)), more[: len(more) // 2])
    rows = dataclasses.replace(
        rows,
        event=rows.event[kept],
        user_features=rows.user_features.iloc[kept].reset_index(drop=True),
        item_features=rows.item_features.iloc[kept].reset_index(drop=True),
    )
    model = make(learning_rate=HELD, weight_decay=0)
    model.fit(tonight, rows, epochs=1, support=Support(start=start))

    def named(of: TwoTower) -> dict[str, torch.Tensor]:
        vocabulary = of._trained().encoders[1].of_categories[0].vocabulary
        table = weights(of)["item.categories.0.weight"]
        return {"other": table[1], **{value: table[n] for n, value in enumerate(vocabulary.values, 2)}}

    before, after = named(start), named(model)
    for colour in ("white", "black"):
        torch.testing.assert_close(after[colour], before[colour], atol=1e-6, rtol=0)
    torch.testing.assert_close(after["grey"], before["other"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_few_epochs_do(fusion: str) -> None:
    dataset = next_night()
    model = make(fusion=fusion)
    report = model.fit(dataset, rows_of(dataset), support=Support(start=started(fusion=fusion)))
    assert report.epochs == 2
    top = model.recommend(np.arange(USERS + 2), 4)
    assert (top.items % 2 == np.arange(USERS + 2)[:, None] % 2).all()
    scores = model.user_vectors() @ model.item_vectors()[ITEMS:].T
    own = np.arange(USERS + 2)[:, None] % 2 == np.arange(4) % 2
    assert scores[own].min() > scores[~own].max()


def test_a_start_reads_back_from_disk_as_well(tmp_path_factory: pytest.TempPathFactory) -> None:
    start, dataset = started(), next_night()
    folder = tmp_path_factory.mktemp("start")
    start.save(folder)
    models = []
    for given in (start, TwoTower.load(folder)):
        models.append(make())
        models[-1].fit(dataset, rows_of(dataset), truth_of(dataset), support=Support(start=given))
    np.testing.assert_array_equal(models[0].item_vectors(), models[1].item_vectors())


@pytest.mark.parametrize(
    ("keys", "named"),
    [({"dimension": 8}, "shape"), ({"fusion": "gated"}, "only one of the two"), ({"history_length": 5}, "shape")],
)
def test_another_configuration_is_refused_with_the_cure(keys: dict[str, object], named: str) -> None:
    dataset = checkerboard()
    with pytest.raises(ArtifactError, match=f"{named}.*or train from scratch"):
        make().fit(dataset, rows_of(dataset), support=Support(start=started(**keys, max_epochs=1)))


def test_other_features_are_refused_with_the_cure() -> None:
    start, dataset = make([ITEM_FEATURES[0]], max_epochs=1), checkerboard()
    start.fit(dataset, rows_of(dataset))
    with pytest.raises(ArtifactError, match="other item features.*or train from scratch"):
        make().fit(dataset, rows_of(dataset), support=Support(start=start))


def test_another_kind_is_refused() -> None:
    dataset = checkerboard()
    with pytest.raises(ArtifactError, match="kind popularity: train from scratch"):
        make().fit(dataset, rows_of(dataset), support=Support(start=Popularity()))
