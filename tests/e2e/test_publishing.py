"""Publishing a real night: users in shards, business filters, and an experiment from its start to its results.

The tests run in order and share one world.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from recommender import pipeline
from recommender.config.settings import Settings, load_settings
from recommender.errors import ConfigError
from recommender.experiments import life
from recommender.models.popularity import Popularity
from recommender.storage import embedded, registry
from recommender.storage.artifacts import checksum, writing
from recommender.storage.postgres import READER, connect
from tests.e2e.worlds import FIRST, SECOND, write_profile

CHALLENGER = "popularity-by-hand"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A world before its lists are published; its users are ranked in three shards."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(folder / "home"))
        patch.setenv("RECOMMENDER_PROFILE", str(write_profile(folder)))
        patch.setenv("RECOMMENDER__PUBLISH__SHARDS", "3")
        patch.setenv("RECOMMENDER__PUBLISH__VECTORS", "all")
        patch.setenv("RECOMMENDER__PUBLISH__FILTERS", json.dumps(["item_id not like '%7'"]))
        settings = load_settings()
        for stage in (pipeline.ingest, pipeline.features, pipeline.train, pipeline.judge, pipeline.refit):
            stage(settings, FIRST)
        yield settings
        embedded.stop(settings.postgres)


def asked(settings: Settings, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connect(settings, READER) as connection:
        return connection.execute(query, parameters).fetchall()


def owned(settings: Settings, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connect(settings) as connection:
        return connection.execute(query, parameters).fetchall()


def shards(settings: Settings) -> dict[str, int]:
    """When each ranked shard on disk was written."""
    return {path.name: path.stat().st_mtime_ns for path in sorted(settings.ranked.glob("*/*/*-of-*"))}


def test_a_shard_is_ranked_alone_and_publishing_takes_it(shop: Settings) -> None:
    with pytest.raises(ConfigError, match=r"no shard 3: publish\.shards is 3"):
        pipeline.rank(shop, FIRST, shard=3)
    ranked = pipeline.rank(shop, FIRST, shard=1)
    assert ranked.summary.startswith("shard 1 of 3 ranked by two_tower-")
    first = shards(shop)
    assert list(first) == ["0001-of-0003"]
    pipeline.rank(shop, FIRST, shard=1)
    assert shards(shop) == first, "what is ranked stays"
    told = list[str]()
    published = pipeline.publish(shop, FIRST, told.append)
    assert sum("of" in line and line.startswith("ranked ") and "users" in line for line in told) >= 2
    assert published.detail["users"] == 150
    assert shards(shop) == {}, "what is published is not kept twice"
    assert not list(shop.ranked.glob("ds=*"))


def test_what_a_filter_keeps_from_everybody_is_nowhere_but_in_search(shop: Settings) -> None:
    hidden = "select count(*) from {} where item_id like '%%7'"
    assert asked(shop, hidden.format("reco.recommendations")) == [(0,)]
    assert asked(shop, hidden.format("reco.recommend('nobody', 100)")) == [(0,)]
    (items,) = owned(shop, "select items from reco.publications where status = 'live'")[0]
    assert owned(shop, "select count(*) from reco.catalogue where hidden") == [(items - items * 9 // 10,)]
    (known,) = owned(shop, "select array_agg(item_id) from reco.catalogue where not hidden")[0]
    for item in known[:20]:
        assert all(
            not found.endswith("7") for (found,) in asked(shop, "select item_id from reco.similar_items(%s)", item)
        )
    taste = asked(shop, "select item_id from reco.recommend_by_taste(%s, 50)", known[:3])
    assert len(taste) == 50
    assert not {item for (item,) in taste} & {*known[:3], *(item for (item,) in taste if item.endswith("7"))}
    personal = owned(shop, "select count(*) from reco.recommendation_lists where source = 'personal'")
    assert owned(shop, "select count(*) from reco.user_vectors") == personal
    assert owned(shop, "select count(*) from reco.interested_users(%s, 5)", known[0]) == [(5,)]


def test_lists_are_full_and_checked(shop: Settings) -> None:
    assert asked(shop, "select distinct count(*) from reco.recommendations group by user_id") == [(20,)]
    (checks,) = owned(shop, "select checks from reco.publications where status = 'live'")[0]
    assert 0 < checks["coverage"] <= 1


@pytest.fixture(scope="module")
def challenger(shop: Settings) -> str:
    """A model of another kind beside the champion, whose list is the same for all."""
    folder = shop.artifacts / CHALLENGER
    with writing(folder) as scratch:
        Popularity().save(scratch)
    with connect(shop) as connection:
        registry.register(connection, CHALLENGER, "popularity", FIRST, folder, checksum(folder), {}, {})
    return CHALLENGER


def sources(settings: Settings) -> dict[str, str]:
    """What each user with events is served."""
    with psycopg.connect(embedded.url(str(embedded.start(settings.postgres)))) as connection:
        lists = "select distinct user_id from reco.recommendation_lists where source = 'personal'"
        users = [user for (user,) in connection.execute(lists)]
        return {
            user: connection.execute("select source from reco.recommend(%s, 1)", [user]).fetchall()[0][0]
            for user in users
        }


def test_an_experiment_serves_its_arm_until_it_is_stopped(shop: Settings, challenger: str) -> None:
    with connect(shop, autocommit=True) as connection:
        experiment = life.start(connection, "popular for all", challenger, share=0.4)
    assert set(sources(shop).values()) == {"personal"}, "lists come with the next publication"
    assert pipeline.publish(shop, FIRST).summary.endswith("live, 100% of a list as it was")
    served = sources(shop)
    arm = dict(zip(served, experiment.arm(list(served)), strict=True))
    assert 30 < sum(arm.values()) < 90
    assert served == {user: "popular" if inside else "personal" for user, inside in arm.items()}
    mine = asked(shop, "select user_id, item_id from reco.recommendations where rank = 1")
    assert all(item == asked(shop, "select item_id from reco.recommend(%s, 1)", user)[0][0] for user, item in mine[:10])


def test_the_next_night_is_measured(shop: Settings) -> None:
    for stage in (pipeline.ingest, pipeline.features, pipeline.publish):
        stage(shop, SECOND)
    measured = pipeline.outcomes(shop, SECOND)
    rows = owned(shop, "select variant, count(*) from reco.outcomes where ds = %s group by 1 order by 1", SECOND)
    assert measured.detail["rows"] == sum(count for _, count in rows) > 0
    assert [variant for variant, _ in rows] == ["challenger", "champion"]
    results = owned(shop, "select metric, champion_users + challenger_users from reco.experiment_results order by 1")
    ((exposed,),) = owned(shop, "select count(distinct user_id) from reco.recommendation_lists")
    assert results == [(metric, exposed) for metric in ("conversion", "events", "hits")]
    pipeline.outcomes(shop, SECOND)
    assert rows == owned(
        shop, "select variant, count(*) from reco.outcomes where ds = %s group by 1 order by 1", SECOND
    )


def test_stopping_takes_effect_at_once(shop: Settings) -> None:
    with connect(shop, autocommit=True) as connection:
        life.stop(connection, life.known(connection, "popular for all").experiment_id, "seen enough")
    assert set(sources(shop).values()) == {"personal"}


def test_a_challenger_that_is_damaged_stops_its_experiment_and_not_the_night(shop: Settings, challenger: str) -> None:
    with connect(shop, autocommit=True) as connection:
        life.start(connection, "again", challenger, share=0.4)
    shutil.rmtree(Path(shop.artifacts / challenger))
    told = list[str]()
    pipeline.publish(shop, SECOND, told.append)
    assert any(line.startswith("experiment again stopped: ") and challenger in line for line in told)
    assert owned(shop, "select status from reco.experiments where name = 'again'") == [("stopped",)]
    assert set(sources(shop).values()) == {"personal"}
