"""The shipped profiles read the real data sets as they stand."""

from datetime import date
from pathlib import Path

import pytest

from recommender.config.settings import load_settings
from recommender.data.ingest import ingest
from recommender.storage.lake import Lake


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("profile", "folder", "night", "counts"),
    [
        ("music", "lfm", date(2014, 4, 30), (414_246, 4_817, 12_492)),
        ("films", "ml1m", date(2000, 11, 30), (737_731, 6_040, 2_983)),
    ],
)
def test_everything_is_kept(
    shared_data: Path, home: Path, profile: str, folder: str, night: date, counts: tuple[int, int, int]
) -> None:
    settings = load_settings(profile, shared_data / folder)
    result = ingest(settings, night)
    assert (result.events, result.users, result.items) == counts
    assert result.quarantined == {}
    items = Lake(settings.lake).read("items", night)
    assert items["title"].notna().all()
    assert items["category"].nunique() > 10
    if profile == "films":
        assert items.set_index("title").loc["Jumanji (1995)", "year"] == 1995
    else:
        assert result.taken_as_missing == {"users.age": 19}
