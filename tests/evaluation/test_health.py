import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file

from recommender.evaluation import health
from recommender.evaluation.health import latency, training_health
from recommender.retrieval.exact import TopK
from tests.evaluation.literal import OfVectors, world


def epoch(number: int, **measures: float) -> dict[str, float]:
    return {"epoch": float(number), **measures, "seconds": 0.1}


def fit(*history: dict[str, float]) -> dict[str, object]:
    return {"epochs": 2, "seconds": 1.5, "history": list(history)}


def test_of_one_fit(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    save_file({"half": torch.ones(5, dtype=torch.bfloat16)}, tmp_path / "part" / "weights.safetensors")
    (tmp_path / "model.json").write_bytes(b"x" * 250_000)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.*"))
    history = [epoch(1, loss=4.0, recall=0.1), epoch(2, loss=2.0, recall=0.2), epoch(3, loss=1.0, recall=0.15)]
    assert training_health(fit(*history), tmp_path) == pytest.approx(
        {
            "fit_epochs": 2,
            "fit_seconds": 1.5,
            "fit_finite": 1,
            "fit_loss_ratio": 0.25,
            "fit_recall_drop": 0.25,
            "artifact_megabytes": size / 1e6,
        }
    )


def test_what_was_not_measured_is_not_there(tmp_path: Path) -> None:
    assert training_health({"epochs": 0, "seconds": 2, "history": []}, tmp_path) == {
        "fit_epochs": 0,
        "fit_seconds": 2,
        "fit_finite": 1,
        "artifact_megabytes": 0,
    }
    one = training_health(fit(epoch(1, loss=4.0, recall=0.0)), tmp_path)
    assert "fit_loss_ratio" not in one and "fit_recall_drop" not in one


def test_of_several_parts_the_worst_counts(tmp_path: Path) -> None:
    parts = [
        {"tower_epoch": 1.0, "tower_loss": 4.0, "tower_recall": 0.2},
        {"tower_epoch": 2.0, "tower_loss": 1.0, "tower_recall": 0.2},
        {"ncf_epoch": 1.0, "ncf_loss": 2.0, "ncf_recall": 0.2},
        {"ncf_epoch": 2.0, "ncf_loss": 3.0, "ncf_recall": 0.1},
        {"recall": 0.3},
    ]
    found = training_health(fit(*parts), tmp_path)
    assert (found["fit_loss_ratio"], found["fit_recall_drop"]) == pytest.approx((1.5, 0.5))


def test_a_head_after_its_towers_is_a_fit_of_its_own(tmp_path: Path) -> None:
    towers = [epoch(1, loss=8.0, towers_recall=0.2), epoch(2, loss=4.0, towers_recall=0.2)]
    head = [epoch(1, loss=0.6), epoch(2, loss=0.45, recall=0.25)]
    found = training_health(fit(*towers, *head), tmp_path)
    assert (found["fit_loss_ratio"], found["fit_recall_drop"]) == pytest.approx((0.75, 0))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_numbers_in_history_or_weights(tmp_path: Path, bad: float) -> None:
    sick = training_health(fit(epoch(1, loss=4.0), epoch(2, loss=bad), epoch(3, loss=2.0)), tmp_path)
    assert sick["fit_finite"] == 0 and sick["fit_loss_ratio"] == 0.5
    healthy = fit(epoch(1, loss=4.0))
    save_file({"whole": torch.arange(3), "weights": torch.tensor([1.0, bad])}, tmp_path / "weights.safetensors")
    assert training_health(healthy, tmp_path)["fit_finite"] == 0
    save_file({"whole": torch.arange(3), "weights": torch.tensor([1.0, 2.0])}, tmp_path / "weights.safetensors")
    assert training_health(healthy, tmp_path)["fit_finite"] == 1
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    assert training_health(healthy, tmp_path)["fit_finite"] == 0


class Slow(OfVectors):
    """Takes ten milliseconds a call and one a user, by a clock of its own."""

    clock = 0.0
    calls: list[int]

    def recommend(
        self,
        users: npt.NDArray[np.int64],
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: npt.NDArray[np.bool_] | None = None,
    ) -> TopK:
        self.clock += 0.01 + 0.001 * len(users)
        self.calls.append(len(users))
        return super().recommend(users, k, exclude_seen=exclude_seen, allowed=allowed)


def slow(users: int) -> Slow:
    model = Slow(np.ones((users, 2)), np.ones((3, 2)), world([[0, 1, 2]] * users, 3))
    model.calls = []
    return model


def test_latency_of_one_and_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    model = slow(100)
    monkeypatch.setattr("recommender.evaluation.health.time.perf_counter", lambda: model.clock)
    found = latency(model, np.arange(100))
    batch = int(health.BUDGET_SECONDS / 0.011)
    assert model.calls == [1] * (1 + health.CALLS) + [batch]
    assert found == pytest.approx({"recommend_ms": 11, "recommend_users_per_second": batch / (0.01 + batch * 0.001)})


def test_a_slow_model_is_asked_less(monkeypatch: pytest.MonkeyPatch) -> None:
    model = slow(100)
    monkeypatch.setattr("recommender.evaluation.health.time.perf_counter", lambda: 50 * model.clock)
    assert latency(model, np.arange(100))["recommend_ms"] == pytest.approx(550)
    assert model.calls == [1, 1, 1, 1]  # the first is not timed, and a batch of one is left


def test_latency_of_nobody() -> None:
    assert latency(slow(1), np.arange(0)) == {}
    assert latency(slow(1), np.arange(1)).keys() == {"recommend_ms", "recommend_users_per_second"}
