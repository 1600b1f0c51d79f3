"""What the shipped policy decides on a hundred resampled nights of real music with gains and losses planted in them."""

from pathlib import Path

import pytest

from benchmarks.gate import Plant, World, decisions, lastfm, one_group, one_item_for_all, overall
from recommender.config.policy import load_policy

NIGHTS = 100
COUNTRY = "US"


@pytest.fixture(scope="module")
def two_seeds(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Lists of two models that differ in the seed alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(tmp_path_factory.mktemp("home")))
        return lastfm(shared_data / "lfm", "ials")


@pytest.fixture
def own(two_seeds: World) -> World:
    """The champion's lists, which the challenger begins with too."""
    return World((two_seeds.lists[0], two_seeds.lists[0]), two_seeds.relevant, two_seeds.cohorts)


def decided(world: World, plant: Plant) -> tuple[dict[str, int], dict[str, int]]:
    counts, failures = decisions(world, plant, load_policy(None), NIGHTS)
    return dict(counts), dict(failures)


@pytest.mark.shared_data
def test_a_gain_of_five_percent_is_promoted(own: World, two_seeds: World) -> None:
    assert decided(own, overall(0.05))[0]["promote"] >= 95
    assert decided(two_seeds, overall(0.05))[0]["promote"] >= 95


@pytest.mark.shared_data
def test_a_loss_of_five_percent_is_rejected(own: World, two_seeds: World) -> None:
    assert decided(own, overall(-0.05))[0]["reject"] >= 95
    assert decided(two_seeds, overall(-0.05))[0]["reject"] >= 95


@pytest.mark.shared_data
def test_another_seed_is_promoted_by_chance_alone(two_seeds: World) -> None:
    assert decided(two_seeds, overall(0))[0]["promote"] <= 5


@pytest.mark.shared_data
def test_one_countrys_loss_is_seen_through_everybody_elses_gain(own: World) -> None:
    counts, failures = decided(own, one_group("country", COUNTRY, loss=0.5, gain=0.15))
    assert counts["reject"] >= 95
    assert failures["no_cohort_loses"] >= 95


@pytest.mark.shared_data
def test_one_item_in_every_list_is_not_promoted_however_good_the_rest(own: World) -> None:
    counts, failures = decided(own, one_item_for_all)
    assert counts["reject"] == NIGHTS
    assert failures["nothing_is_shown_to_all"] == NIGHTS
