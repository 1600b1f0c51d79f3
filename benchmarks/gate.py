"""What the shipped policy decides on planted nights of Last.fm: `python -m benchmarks.gate`, two minutes.

A night is a resample of the users who chose something new in May 2014. Gains and losses are planted into the champion's
own lists, and into those of another model: of two that differ in their seed alone each user's list of the one is the
champion's and that of the other the challenger's, at random, so that neither is better but for what is planted.
"""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table
from scipy import sparse

from recommender.columns import ITEM_ID, TS, USER_ID
from recommender.config.models import ModelConfig
from recommender.config.policy import Policy, load_policy
from recommender.config.settings import load_settings
from recommender.data.dataset import Dataset, TrainingRows, Truth, night_end
from recommender.data.sources import open_source
from recommender.evaluation.cohorts import OTHER, UNKNOWN, Cohort, cohorts_of
from recommender.evaluation.findings import RuleResult
from recommender.evaluation.gate import Evidence, apply_policy, decide
from recommender.evaluation.metrics import coverage, hits, per_user_metrics
from recommender.features.loading import truth_of
from recommender.models.registry import new_model

CUT = date(2014, 4, 30)
CONFIG = TypeAdapter[Any](ModelConfig)
K = 20
NIGHTS = 100
Lists = npt.NDArray[np.int32]
Plant = Callable[["World", Lists, np.random.Generator], Lists]


@dataclass(frozen=True, eq=False)
class World:
    """Two models' lists of the same users, and what these went on to choose."""

    lists: tuple[Lists, Lists]
    """(users, at least K) of each model."""
    relevant: sparse.csr_matrix
    cohorts: Sequence[Cohort]

    @property
    def items(self) -> int:
        return int(self.relevant.shape[1])


def planted(world: World, lists: Lists, change: float, rng: np.random.Generator, where: npt.NDArray[np.bool_]) -> Lists:
    """The lists with hits added or taken away at random until the recall of the users `where` has changed so much."""
    lists = lists[:, :K].copy()
    hit = hits(lists, world.relevant)
    sizes = np.diff(world.relevant.indptr)
    wanted = abs(change) * float((hit.sum(1) / sizes)[where].sum())
    if change < 0:
        users, places = np.nonzero(hit & where[:, None])
        items = np.full(len(users), -1, np.int32)
    else:
        missed = world.relevant.copy()
        shown = sparse.csr_matrix(
            (np.ones(hit.sum(), np.float32), (np.nonzero(hit)[0], lists[hit])), shape=world.relevant.shape
        )
        users, items = (missed - shown).nonzero()
        chosen = where[users]
        users, items = users[chosen], items[chosen].astype(np.int32)
        places = rng.integers(0, K, len(users))
    order = rng.permutation(len(users))
    for one in order:
        user, place = users[one], places[one]
        if wanted <= 0:
            break
        if change > 0 and hit[user, place]:
            continue
        lists[user, place] = items[one]
        hit[user, place] = change > 0
        wanted -= 1 / sizes[user]
    return lists


def night(world: World, plant: Plant, policy: Policy, seed: int) -> tuple[str, list[RuleResult]]:
    """What the policy decides on one night, and by which rules."""
    rng = np.random.default_rng(seed)
    users = world.relevant.shape[0]
    drawn = rng.integers(0, users, users)
    swap = rng.random(users)[:, None] < 0.5
    one, other = (lists[drawn, :K] for lists in world.lists)
    cohorts = [each.at(drawn) for each in world.cohorts]
    tonight = World((one, other), world.relevant[drawn], cohorts)
    champion, challenger = np.where(swap, one, other), plant(tonight, np.where(swap, other, one), rng)
    figures, per_user = {}, {}
    for name, lists in (("challenger", challenger), ("champion", champion)):
        per_user[name] = per_user_metrics(lists, tonight.relevant, [10, K])
        figures[name] = {metric: float(each.mean()) for metric, each in per_user[name].items()}
        figures[name][f"coverage@{K}"] = coverage(lists, K, world.items)
        shown = np.bincount(lists[lists >= 0], minlength=world.items)
        figures[name][f"top_item_share@{K}"] = float(shown.max() / users)
    figures["popularity"] = {f"recall@{K}": 0.0}
    evidence = Evidence(figures, per_user, cohorts, {"": "not part of this night"}, champion_days=1, seed=seed)
    results = apply_policy(policy, evidence)
    return decide(results), results


def overall(change: float) -> Plant:
    """A gain or a loss of everybody's recall@20; 0 makes an A/A night."""
    return lambda world, lists, rng: planted(world, lists, change, rng, np.ones(len(lists), bool))


def one_group(dimension: str, label: str, loss: float, gain: float) -> Plant:
    """A loss of one cohort under a gain of all others."""

    def plant(world: World, lists: Lists, rng: np.random.Generator) -> Lists:
        (group,) = [one for one in world.cohorts if (one.dimension, one.label) == (dimension, label)]
        return planted(world, planted(world, lists, gain, rng, ~group.members), -loss, rng, group.members)

    return plant


def one_item_for_all(world: World, lists: Lists, rng: np.random.Generator) -> Lists:
    """Gains, but everybody's list begins with the same item."""
    better = planted(world, lists, 0.2, rng, np.ones(len(lists), bool))
    return np.concatenate([np.full((len(lists), 1), 0, np.int32), better[:, : K - 1]], axis=1)


def decisions(
    world: World, plant: Plant, policy: Policy, nights: int = NIGHTS
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """How often each decision fell, and how often each rule failed."""
    counts: dict[str, int] = {"promote": 0, "reject": 0, "ask": 0}
    failures: dict[str, int] = {}
    for seed in range(nights):
        decision, results = night(world, plant, policy, seed)
        counts[decision] += 1
        for result in results:
            if not result.passed:
                failures[result.rule] = failures.get(result.rule, 0) + 1
    return counts, failures


def lastfm(folder: Path, kind: str) -> World:
    """Two seeds of a model on everything up to the end of April 2014, and the new choices of May."""
    settings = load_settings("music", folder)
    profile, tables = settings.profile, {}
    with duckdb.connect() as reader:
        reader.execute("set timezone = 'UTC'")
        for table in ("events", "users", "items"):
            open_source(reader, profile, table, settings.data)
            tables[table] = reader.execute(f"select * from {table}").df()
    dataset, truth = cut(tables["events"], tables["users"], tables["items"], CUT)
    lists = []
    for seed in (0, 1):
        training = profile.training.model_copy(update={"seed": seed})
        model = new_model(CONFIG.validate_python({"kind": kind}), profile.model_copy(update={"training": training}))
        nothing = pd.DataFrame(index=dataset.ts)
        model.fit(dataset, TrainingRows(np.arange(len(dataset.ts)), nothing, nothing))
        lists.append(model.recommend(truth.users, K, allowed=dataset.known_items).items)
    return World((lists[0], lists[1]), truth.relevant, cohorts_of(profile, dataset, truth.users))


def cut(events: pd.DataFrame, users: pd.DataFrame, items: pd.DataFrame, night: date) -> tuple[Dataset, Truth]:
    """What was known at the end of a night, with attributes but no measured features, and what users chose later."""
    before = events[TS] < pd.Timestamp(night_end(night)).tz_localize(None)
    known, later = events[before], events[~before]
    user_ids, user = np.unique(known[USER_ID].to_numpy(object), return_inverse=True)
    item_ids, item = np.unique(known[ITEM_ID].to_numpy(object), return_inverse=True)
    ts = known[TS].to_numpy("datetime64[s]").astype(np.int64)
    order = np.lexsort((item, ts, user))
    dataset = Dataset(
        ds=night,
        user_ids=user_ids,
        item_ids=item_ids,
        user=user[order].astype(np.int32),
        item=item[order].astype(np.int32),
        ts=ts[order],
        weight=np.ones(len(order), np.float32),
        user_features=users.set_index(USER_ID).reindex(user_ids).reset_index(drop=True),
        item_features=items.set_index(ITEM_ID).reindex(item_ids).reset_index(drop=True),
    )
    return dataset, truth_of(dataset, later[USER_ID].to_numpy(object), later[ITEM_ID].to_numpy(object))


def scenarios(world: World) -> dict[str, Plant]:
    """What is planted, by its name."""
    countries = [one for one in world.cohorts if one.dimension == "country" and one.label not in (OTHER, UNKNOWN)]
    largest = max(countries, key=lambda one: int(one.members.sum()))
    users = int(largest.members.sum())
    return {
        "nothing": overall(0),
        "+5 %": overall(0.05),
        "+10 %": overall(0.10),
        "-5 %": overall(-0.05),
        f"-50 % for {users} users of a country, +15 % for the others": one_group("country", largest.label, 0.5, 0.15),
        "+20 %, one item in every list": one_item_for_all,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, help="instead of the shipped one")
    parser.add_argument("--kind", default="ials", help="of the two models")
    parser.add_argument("--nights", type=int, default=NIGHTS)
    given = parser.parse_args()
    policy, console = load_policy(given.policy), Console(highlight=False, width=160)
    world = lastfm(Path(os.environ["RECOMMENDER_SHARED_DATA"]) / "lfm", given.kind)
    own = World((world.lists[0], world.lists[0]), world.relevant, world.cohorts)
    for name, lists in (("the champion's own lists", own), ("those of another seed", world)):
        table = Table(f"planted into {name}", "promote", "reject", "ask", "rules that failed", box=None)
        for change, plant in scenarios(world).items():
            counts, failures = decisions(lists, plant, policy, given.nights)
            failed = ", ".join(f"{rule} {count}" for rule, count in sorted(failures.items(), key=lambda one: -one[1]))
            table.add_row(change, *(str(counts[decision]) for decision in ("promote", "reject", "ask")), failed)
        console.print(table)


if __name__ == "__main__":
    main()
