from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recommender.config.ncf import Ncf as NcfConfig
from recommender.config.training import Training
from recommender.data.dataset import Dataset
from recommender.errors import ArtifactError, RequestError, UnknownItemError
from recommender.models.ncf.model import Ncf
from recommender.models.popularity import Popularity
from recommender.serving.ncf import NcfService, Scored
from recommender.storage.artifacts import checksum, writing
from tests.models.worlds import ITEMS, USERS, checkerboard, rows_of, tomorrow_with_newcomers

CONFIG = NcfConfig(dimension=8, layers=(16, 8), batch_size=64, learning_rate=0.02, averaging=0.9)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts") / "ncf-1"
    model = Ncf(CONFIG, Training(seed=1, device="cpu"), [], [])
    model.fit(checkerboard(), rows_of(checkerboard()), epochs=12)
    with writing(folder) as scratch:
        model.save(scratch)
    return folder


@pytest.fixture(scope="module")
def service(artifact: Path) -> NcfService:
    return NcfService(artifact, checksum(artifact), tomorrow_with_newcomers)


def test_predicts_from_0_to_1_and_tells_colours_apart(service: NcfService) -> None:
    pairs = [(f"u{user:03}", f"i{item:03}") for user in range(USERS) for item in range(ITEMS)]
    found = service.predict_batch(pairs)
    assert len(found) == len(pairs) and all(isinstance(value, float) and 0 <= value <= 1 for value in found)
    table = np.array(found).reshape(USERS, ITEMS)
    same = np.arange(USERS)[:, None] % 2 == np.arange(ITEMS) % 2
    assert table[same].mean() > 0.5 > table[~same].mean()
    assert service.predict("u003", "i005") == pytest.approx(table[3, 5], rel=1e-5)
    assert service.predict_batch([]) == []


def test_recommends_unseen_items_of_the_users_colour(service: NcfService) -> None:
    seen = checkerboard().seen.toarray()[4] > 0
    found = service.recommend("u004", top_k=4)
    assert found.source == "personal"
    assert all(int(item.item_id[1:]) % 2 == 0 and not seen[int(item.item_id[1:])] for item in found.items)
    assert found.items == sorted(found.items, key=lambda item: -item.probability)
    assert found.items[0].probability == pytest.approx(service.predict("u004", found.items[0].item_id), rel=1e-5)
    everything = service.recommend("u004", top_k=100, exclude_seen=False)
    assert len(everything.items) == ITEMS + 4 and len(service.recommend("u004", top_k=100).items) == ITEMS + 4 - 8


@pytest.mark.parametrize("user", ["u041", "never heard of"])
def test_a_cold_start_gets_what_is_popular_and_says_so(service: NcfService, user: str) -> None:
    popular = Popularity()
    popular.attach(tomorrow_with_newcomers())
    best = int(popular.scores(np.array([0]))[0].argmax())
    found = service.recommend(user, top_k=3)
    assert found.source == "popular"
    assert found.items[0] == Scored(f"i{best:03}", pytest.approx(1.0, abs=1e-5))
    assert service.predict(user, f"i{best:03}") == pytest.approx(1.0, abs=1e-5)
    assert service.predict(user, "i027") < 0.01


def test_an_item_nobody_knows_is_an_error(service: NcfService) -> None:
    with pytest.raises(UnknownItemError, match="'i999'.*2020-07-01"):
        service.predict_batch([("u001", "i001"), ("u001", "i999")])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.predict(7, "i001"), "user_id must be text"),
        (lambda s: s.predict("u001", ""), "item_id must be text"),
        (lambda s: s.predict_batch([("u001",)]), "a user id and an item id"),
        (lambda s: s.predict_batch(["ab"]), "a user id and an item id"),
        (lambda s: s.recommend("", 3), "user_id must be text"),
        (lambda s: s.recommend("u001", 0), "top_k must be a whole number above 0, not 0"),
        (lambda s: s.recommend("u001", 2.5), "not 2.5"),
        (lambda s: s.recommend("u001", True), "not True"),
    ],
)
def test_senseless_requests_are_refused(
    service: NcfService, call: Callable[[NcfService], object], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        call(service)


def test_nothing_is_read_before_the_first_call_and_once_then(artifact: Path) -> None:
    reads = []

    def known() -> Dataset:
        reads.append(1)
        return checkerboard()

    service = NcfService(artifact, checksum(artifact), known)
    assert reads == []
    service.predict("u001", "i001")
    service.recommend("u001")
    assert reads == [1]


def test_what_does_not_match_its_checksum_is_never_loaded(artifact: Path, tmp_path: Path) -> None:
    NcfService(tmp_path / "missing", "0", checkerboard)
    with pytest.raises(ArtifactError, match="missing"):
        NcfService(tmp_path / "missing", "0", checkerboard).predict("u001", "i001")
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in artifact.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    weights = bytearray((copy / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(weights)
    with pytest.raises(ArtifactError, match="weights.safetensors is missing or corrupt"):
        NcfService(copy, checksum(artifact), checkerboard).recommend("u001")


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    with writing(tmp_path / "popularity-1") as scratch:
        Popularity().save(scratch)
    service = NcfService(tmp_path / "popularity-1", checksum(tmp_path / "popularity-1"), checkerboard)
    with pytest.raises(ArtifactError, match="of kind popularity, not ncf"):
        service.predict("u001", "i001")
