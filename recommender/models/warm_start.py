"""Going on from an earlier night's towers: weights taken over, tables grown for ids and categories that came since."""

from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from recommender.errors import ArtifactError
from recommender.features.encoding import FeatureEncoder
from recommender.features.encoding.vocabulary import FIRST_NAMED, Vocabulary
from recommender.models.attached import Attached
from recommender.models.fitted import Fitted

ID_TABLES = ("ids.weight", "id_bias.weight", "fusion.augmented.weight")
SIDES = ("user", "item")

Encoders = tuple[FeatureEncoder, FeatureEncoder]


@torch.no_grad()
def carry_over(start: Fitted, fresh: Fitted, state: Attached, name: str, *, ids_add_to_metadata: bool) -> None:
    """Overwrite fresh weights by those of `start`, row by row where tables differ in what they hold.

    Ids that both know keep their vectors, and so do categories. A category that came since starts as what the
    earlier model takes it for, one of the rare ones. An id that came since starts at zero where its vector is added
    to the metadata's (`ids_add_to_metadata`), for there the metadata's is what is known of it; else at the mean of the
    ids that share its most special known category, or at zero without one.

    Parameters
    ----------
    start
        The earlier towers, of the same configuration and features.
    state
        The data set whose ids `fresh` holds, as it reads them.
    name
        What errors call the start.

    Raises
    ------
    ArtifactError
        The two have other features, other widths or other parts.
    """
    for entity, old, new in zip(SIDES, start.encoders, fresh.encoders, strict=True):
        if layout(old) != layout(new):
            _refuse(name, f"it was trained on other {entity} features than the profile declares")
    before, after = start.towers.state_dict(), fresh.towers.state_dict()
    if different := sorted(before.keys() ^ after.keys()):
        _refuse(name, f"{different[0]} is a part of only one of the two")
    grown = {f"{side}.{table}": place for place, side in enumerate(SIDES) for table in ID_TABLES}
    named = category_rows(start.encoders, fresh.encoders)
    groups = None if ids_add_to_metadata else (_categories(fresh, state, 0), _categories(fresh, state, 1))
    for part, target in after.items():
        source = before[part].to(target.device)
        by_row = part in grown or part in named
        if source.shape[by_row:] != target.shape[by_row:]:
            _refuse(name, f"{part} has shape {tuple(source.shape)} in place of {tuple(target.shape)}")
        if part in grown:
            place = grown[part]
            kept = np.append(0, start.ids[place].get_indexer(fresh.ids[place]) + 1)
            _grow(source, target, kept, None if groups is None else groups[place])
        else:
            target.copy_(source[torch.from_numpy(named[part])] if part in named else source)


def _grow(
    source: Tensor, target: Tensor, kept: npt.NDArray[np.int64], categories: list[npt.NDArray[np.int64]] | None
) -> None:
    """Fill `target` with row `kept[n]` of `source`, and where that is 0 (new ids) with the mean of their likes."""
    target.copy_(source[torch.from_numpy(kept)])
    new = kept == 0
    new[0] = False  # whoever is unknown, as before
    target[torch.from_numpy(np.flatnonzero(new))] = 0
    for codes in categories or []:
        known = torch.from_numpy(np.flatnonzero((kept > 0) & (codes >= FIRST_NAMED)))
        group = torch.from_numpy(codes).to(target.device)
        size = int(codes.max(initial=0)) + 1
        sums = target.new_zeros(size, target.shape[1]).index_add(0, group[known], target[known])
        counts = torch.bincount(group[known], minlength=size)
        alike = np.flatnonzero(new & (codes >= FIRST_NAMED) & (counts.cpu().numpy()[codes] > 0))
        rows = torch.from_numpy(alike)
        target[rows] = (sums / counts.clamp(min=1).unsqueeze(1))[group[rows]]
        new[alike] = False


def _categories(fitted: Fitted, state: Attached, place: int) -> list[npt.NDArray[np.int64]]:
    """For each feature, the most special first: (rows of the id table,) category of each, the first of several."""
    row, matrix = (
        (state.user, state.user_categories) if place == 0 else (state.item.cpu().numpy(), state.item_categories.cpu())
    )
    table = np.zeros((len(fitted.ids[place]) + 1, matrix.shape[1]), np.int64)
    table[row] = matrix
    table[0] = 0
    inputs = fitted.encoders[place].category_inputs
    first = np.cumsum([0, *(columns for _, columns in inputs)])
    special_first = sorted(range(len(inputs)), key=lambda feature: -inputs[feature].indices)
    return [table[:, first[feature]] for feature in special_first]


def category_rows(before: Encoders, after: Encoders) -> dict[str, npt.NDArray[np.int64]]:
    """By the name of each table of categories: for each of its rows the earlier table's row of the same category.

    Both have the same `layout`. A category that came since has the row of what the earlier encoder takes it for.
    """
    return {
        f"{side}.categories.{place}.weight": _vocabulary_rows(old.vocabulary, new.vocabulary)
        for side, earlier, later in zip(SIDES, before, after, strict=True)
        for place, (old, new) in enumerate(zip(earlier.of_categories, later.of_categories, strict=True))
    }


def _vocabulary_rows(old: Vocabulary, new: Vocabulary) -> npt.NDArray[np.int64]:
    """For each index of the new vocabulary the one that the old has for the same value, or the same bucket."""
    named = old.transform(pd.Series(new.values, dtype=object))
    return np.array([*range(FIRST_NAMED), *named, *range(len(old) - old.buckets, len(old))], np.int64)


def layout(encoder: FeatureEncoder) -> list[tuple[str, str, int, int]]:
    """Kind, name, numbers and buckets of each feature, in the order of the matrices."""
    buckets = {column.name: column.vocabulary.buckets for column in encoder.of_categories}
    return [
        (type(column).__name__, column.name, getattr(column, "width", 0), buckets.get(column.name, 0))
        for column in encoder.columns
    ]


def _refuse(name: str, reason: str) -> NoReturn:
    raise ArtifactError(
        f"training cannot go on from {name}: {reason}; "
        "start from a model of the same configuration and features, or train from scratch"
    )
