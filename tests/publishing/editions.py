"""Editions made by hand, of a model that a test has fitted."""

from pathlib import Path

import pandas as pd

from recommender.config.profile import Profile
from recommender.config.publish import Publish
from recommender.config.settings import load_settings
from recommender.models.base import Model
from recommender.progress import quiet
from recommender.publishing.build import content_of
from recommender.publishing.content import Content
from recommender.publishing.edition import Edition
from recommender.publishing.lists import ranked_users
from recommender.publishing.rules import Rules
from recommender.storage.registry import ModelVersion


def edition(
    model: Model,
    folder: Path,
    publish: Publish,
    profile: Profile | None = None,
    users: pd.DataFrame | None = None,
    items: pd.DataFrame | None = None,
) -> Edition:
    """Of a model's world; the lake's tables have ids alone where none are given."""
    paths = folder / "users.parquet", folder / "items.parquet"
    ids = pd.DataFrame({"user_id": model.dataset.user_ids}), pd.DataFrame({"item_id": model.dataset.item_ids})
    for path, table, known in zip(paths, (users, items), ids, strict=True):
        (known if table is None else table).to_parquet(path)
    profile = (profile or load_settings("synthetic").profile).model_copy(update={"publish": publish})
    champion = ModelVersion("by-hand", model.kind, model.dataset.ds, "champion", {}, folder, "0", None, None)
    return Edition(profile, model.dataset, *paths, champion, "0" * 64, folder / "ranked")


def content_by(model: Model, one: Edition) -> Content:
    """What the edition publishes by this model, all users in one shard."""
    rules = Rules(one)
    return content_of(one, rules, model, [ranked_users(one, rules, model, model.dataset.active_users, quiet)])
