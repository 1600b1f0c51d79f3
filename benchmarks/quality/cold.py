"""Newcomers, measured: items without a single event in training, and users with one to five events.

python -m benchmarks.quality.cold [lfm|ml1m]

Items: the events of a random tenth of the items are taken out of training, with every feature that was computed from
them; the lists then hold only such items. Users: of a random half of those who are judged only the first one to five
events stay, and their own features are emptied. Each time the model is compared with popularity, and with the same
model fitted without any metadata. Figures are Recall@20 on the month after the cut; both worlds are made from one seed.
"""

import argparse
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy import sparse

from benchmarks.quality.configurations import configurations
from benchmarks.quality.problems import Problem, opened
from recommender.config.profile import Profile
from recommender.config.two_tower import TwoTower
from recommender.data.dataset import TrainingRows, Truth
from recommender.evaluation.metrics import per_user_metrics
from recommender.features.definitions import declared_features
from recommender.features.measures import Entity
from recommender.models.base import Model
from recommender.models.popularity import Popularity
from recommender.models.registry import new_model

K = 20
COLD_ITEMS = 0.1
COLD_USERS = 0.5
MOST_EVENTS = 5
SEED = 5
OWN = ("attribute", "decade")
"""Measures of an item's or a user's own row."""
Kept = npt.NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", nargs="?", default="lfm", choices=["lfm", "ml1m"])
    name = parser.parse_args().set
    config = TwoTower.model_validate(configurations()[name].models["two towers"])
    table = Table("newcomers", "judged users", "popularity", "without metadata", "model", box=None)
    with opened(name) as problem:
        for label, (world, allowed) in {
            "items without events": _cold_items(problem),
            "users with 1 to 5 events": _cold_users(problem),
        }.items():
            recalls = [_recall(model, world, allowed) for model in _fitted(world, config)]
            table.add_row(label, str(len(world.truth.users)), *(f"{recall:.4f}" for recall in recalls))
    Console(highlight=False).print(table)


def _fitted(world: Problem, config: TwoTower) -> list[Model]:
    """Popularity, the model without metadata, and the model."""
    popularity = Popularity()
    popularity.attach(world.dataset)
    bare = world.profile.model_copy(
        update={"features": world.profile.features.model_copy(update={"user": (), "item": (), "pair": ()})}
    )
    return [popularity, *(_fit(world, profile, config) for profile in (bare, world.profile))]


def _fit(world: Problem, profile: Profile, config: TwoTower) -> Model:
    model = new_model(config, profile)
    model.fit(world.dataset, world.rows, epochs=config.max_epochs)
    return model


def _recall(model: Model, world: Problem, allowed: Kept) -> float:
    top = model.recommend(world.truth.users, K, allowed=allowed)
    return float(per_user_metrics(top.items, world.truth.relevant, [K])[f"recall@{K}"].mean())


def _cold_items(problem: Problem) -> tuple[Problem, Kept]:
    cold = np.random.default_rng(SEED).random(len(problem.dataset.item_ids)) < COLD_ITEMS
    world = _without(problem, ~cold[problem.dataset.item])
    emptied = _emptied(world.dataset.item_features, _measures(problem, "item"), cold)
    relevant = problem.truth.relevant @ sparse.diags_array(cold.astype(np.float32), format="csr")
    return (
        replace(
            world,
            dataset=replace(world.dataset, item_features=emptied),
            truth=_of_those_with_any(problem.truth.users, relevant),
        ),
        cold,
    )


def _cold_users(problem: Problem) -> tuple[Problem, Kept]:
    rng = np.random.default_rng(SEED)
    users = problem.truth.users[rng.random(len(problem.truth.users)) < COLD_USERS]
    kept_events = np.full(len(problem.dataset.user_ids), np.iinfo(np.int64).max)
    kept_events[users] = rng.integers(1, MOST_EVENTS + 1, len(users))
    place = np.arange(len(problem.dataset.user)) - problem.dataset.offsets[problem.dataset.user]
    world = _without(problem, place < kept_events[problem.dataset.user])
    cold = np.isin(np.arange(len(kept_events)), users)
    emptied = _emptied(world.dataset.user_features, _measures(problem, "user"), cold)
    truth = _of_those_with_any(users, problem.truth.relevant[np.isin(problem.truth.users, users)])
    return (
        replace(world, dataset=replace(world.dataset, user_features=emptied), truth=truth),
        problem.dataset.known_items,
    )


def _without(problem: Problem, kept: Kept) -> Problem:
    """The same world with only the events that are `kept`."""
    data = problem.dataset
    place = np.cumsum(kept) - 1
    rows = kept[problem.rows.event]
    dataset = replace(data, user=data.user[kept], item=data.item[kept], ts=data.ts[kept], weight=data.weight[kept])
    return replace(
        problem,
        dataset=dataset,
        rows=TrainingRows(
            place[problem.rows.event[rows]],
            problem.rows.user_features[rows].reset_index(drop=True),
            problem.rows.item_features[rows].reset_index(drop=True),
        ),
    )


def _measures(problem: Problem, entity: Entity) -> list[str]:
    """Features that events make: all but what the users' and items' own tables say."""
    return [
        feature.name
        for feature in declared_features(problem.profile, entity)
        if feature.measure not in OWN and not feature.measure.startswith("title_")
    ]


def _emptied(frame: pd.DataFrame, columns: list[str], rows: Kept) -> pd.DataFrame:
    changed = frame.copy()
    for column in columns:
        changed[column] = changed[column].where(~rows, None if changed[column].dtype == object else np.nan)
    return changed


def _of_those_with_any(users: npt.NDArray[np.int64], relevant: sparse.csr_matrix) -> Truth:
    chosen = sparse.csr_matrix(relevant)
    chosen.eliminate_zeros()
    some = np.flatnonzero(np.diff(chosen.indptr))
    return Truth(users[some], chosen[some])


if __name__ == "__main__":
    main()
