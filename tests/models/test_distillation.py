"""The towers learn what a linear model of items would recommend."""

import dataclasses
from datetime import date

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from recommender.config.classic import Ease as EaseConfig
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import SECONDS_A_DAY, Dataset, night_end
from recommender.models.base import Support
from recommender.models.distillation import Distillation, fitted_teacher
from recommender.models.ease import Ease
from recommender.models.two_tower import TwoTower
from recommender.training.batches import Batch, Histories, latest_histories
from recommender.training.losses import soft_cross_entropy
from tests.models.mixin import ModelContract
from tests.models.worlds import ITEM_FEATURES, USER_FEATURES, checkerboard, rows_of

PAIRS = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (2, 3), (3, 2), (3, 3)]
"""Users 0 and 1 meet items 0 and 1, users 2 and 3 items 2 and 3; nobody meets item 4 but user 4."""


def blocks() -> Dataset:
    user, item = (np.array(side, np.int32) for side in zip(*[*PAIRS, (4, 4)], strict=True))
    until = int(night_end(date(2020, 1, 1)).timestamp())
    return Dataset(
        ds=date(2020, 1, 1),
        user_ids=np.array([f"u{n}" for n in range(5)], object),
        item_ids=np.array([f"i{n}" for n in range(5)], object),
        user=user,
        item=item,
        ts=np.full(len(user), until - SECONDS_A_DAY, np.int64),
        weight=np.ones(len(user), np.float32),
        user_features=pd.DataFrame(index=range(5)),
        item_features=pd.DataFrame(index=range(5)),
    )


def teacher() -> Ease:
    dataset = blocks()
    model = Ease(EaseConfig(regularisation=1, half_life_days=None), Training())
    model.fit(dataset, rows_of(dataset))
    return model


def batch(history: list[list[int]], targets: list[tuple[int, int]], forbidden: list[tuple[int, int]]) -> Batch:
    width = max(1, *(len(items) for items in history))
    items = np.array([row + [0] * (width - len(row)) for row in history], np.int64)
    present = np.array([[True] * len(row) + [False] * (width - len(row)) for row in history])
    sides = [np.array([pair[side] for pair in pairs], np.int64) for pairs in (targets, forbidden) for side in (0, 1)]
    return Batch(
        users=np.arange(len(history)),
        user_rows=np.arange(len(history)),
        histories=Histories(items, np.zeros(items.shape, np.float32), present, present.astype(np.float32)),
        candidates=np.arange(5),
        candidate_rows=np.arange(5),
        draws=5,
        targets=(sides[0], sides[1]),
        forbidden=(sides[2], sides[3]),
        weights=np.ones(len(targets), np.float32),
    )


def test_the_matrix_scores_as_the_teacher_does() -> None:
    model = teacher()
    pulls = model.pull(np.array([0]), np.arange(5))
    np.testing.assert_allclose(pulls.sum(0), model.scores(np.array([0]))[0] - pulls_of(model, 1), atol=1e-5)
    assert pulls[0, 1] > 0.3
    assert pulls[0, 0] == 0


def pulls_of(model: Ease, item: int) -> np.ndarray:
    return np.asarray(model.pull(np.array([item]), np.arange(5))[0])


def test_the_goal_is_the_targets_and_the_teachers() -> None:
    config = TwoTowerConfig(teacher=EaseConfig(), teacher_weight=0.4, teacher_temperature=0.5)
    asked = batch([[0], []], targets=[(0, 2), (1, 3)], forbidden=[(0, 0), (0, 2), (1, 4), (1, 3)])
    goal, forbidden = Distillation(teacher(), config).goal(asked, np.zeros(5, np.float32))
    assert set(zip(forbidden[0].tolist(), forbidden[1].tolist(), strict=True)) == {(0, 0), (1, 4)}
    assert float(goal.sum()) == pytest.approx(1)
    # user 0: .6 of their half is their target's; of the teacher's .4 item 1, which goes with item 0, has most
    assert goal[0, 0] == 0
    assert goal[0, 1] > 3 * goal[0, 4] > 0
    assert float(goal[0, 2]) == pytest.approx(0.3 + float(goal[0, 4]), abs=0.02)
    # user 1 shows no history: all of their half is their target's
    np.testing.assert_allclose(goal[1].numpy(), [0, 0, 0, 0.5, 0], atol=1e-6)


def test_the_teacher_is_asked_as_it_asks_itself() -> None:
    """Of several events with an item the one that weighs most counts, by its age and its own weight."""
    once = blocks()
    repeated = dataclasses.replace(
        once,
        user=np.append([0, 0], once.user).astype(np.int32),
        item=np.append([0, 0], once.item).astype(np.int32),
        ts=np.append(once.ts[0] - np.array([40, 10]) * SECONDS_A_DAY, once.ts),
        weight=np.array([1, 3, 1, 0.5, *[1] * 7], np.float32),
    )
    model = Ease(EaseConfig(regularisation=1, half_life_days=20), Training())
    model.fit(once, rows_of(once))
    model.attach(repeated)
    seen = Batch(
        users=np.array([0]),
        user_rows=np.array([0]),
        histories=latest_histories(repeated, np.array([0]), 6),
        candidates=np.arange(5),
        candidate_rows=np.arange(5),
        draws=5,
        targets=(np.array([0]), np.array([2])),
        forbidden=(np.zeros(0, np.int64), np.zeros(0, np.int64)),
        weights=np.ones(1, np.float32),
    )
    config = TwoTowerConfig(teacher=EaseConfig(), teacher_weight=1, teacher_temperature=1)
    goal, _ = Distillation(model, config).goal(seen, np.zeros(5, np.float32))
    scores = model.scores(np.array([0]))[0]
    expected = torch.softmax(torch.from_numpy(scores / scores.max()), 0)
    torch.testing.assert_close(goal[0], expected, atol=1e-4, rtol=0)


def test_rare_candidates_count_for_more_where_they_are_drawn() -> None:
    config = TwoTowerConfig(teacher=EaseConfig())
    asked = batch([[0]], targets=[(0, 2)], forbidden=[])
    even, _ = Distillation(teacher(), config).goal(asked, np.zeros(5, np.float32))
    log_q = np.log(np.array([1, 0.1, 1, 1, 1], np.float32))
    corrected, _ = Distillation(teacher(), config).goal(asked, log_q)
    assert corrected[0, 1] > even[0, 1]


def test_the_loss_is_a_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(1)
    users, items = (torch.randn(n, 3, generator=generator, dtype=torch.float64).requires_grad_() for n in (2, 4))
    goal = torch.tensor([[0.2, 0, 0.3, 0], [0, 0.1, 0.4, 0]], dtype=torch.float64)
    log_q = torch.log(torch.tensor([0.5, 1, 0.2, 0.7], dtype=torch.float64))
    forbidden = (torch.tensor([0, 1]), torch.tensor([3, 0]))

    def loss(users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        return soft_cross_entropy(users, items, log_q, forbidden, goal, 0.5)

    scores = (users @ items.T / 0.5 - log_q).detach()
    scores[forbidden] = -torch.inf
    expected = -(goal * torch.log_softmax(scores, 1).nan_to_num(neginf=0)).sum()
    assert float(loss(users, items)) == pytest.approx(float(expected))
    assert torch.autograd.gradcheck(loss, (users, items))


def test_a_teacher_that_is_fitted_already_is_taken() -> None:
    dataset, config = checkerboard(), EaseConfig(regularisation=2)
    known = Ease(config, Training())
    support = Support(fitted={config.model_dump_json(): known})
    rows = rows_of(dataset)
    assert fitted_teacher(config, Training(), ITEM_FEATURES, dataset, rows, support, print) is known
    other = fitted_teacher(EaseConfig(), Training(), ITEM_FEATURES, dataset, rows, support, lambda _line: None)
    assert [feature.name for feature in other.side] == ["category"]


@pytest.mark.parametrize("changes", [{"loss": "bpr"}, {"history": "none"}])
def test_what_a_teacher_can_not_teach_is_refused(changes: dict) -> None:
    with pytest.raises(ValidationError, match="teacher"):
        TwoTowerConfig(teacher=EaseConfig(), **changes)


class TestTaughtTowers(ModelContract):
    def make(self, seed: int = 1) -> TwoTower:
        config = TwoTowerConfig(
            dimension=16, history_length=6, batch_size=64, max_epochs=25, teacher=EaseConfig(regularisation=2)
        )
        return TwoTower(config, Training(seed=seed), USER_FEATURES, ITEM_FEATURES)
