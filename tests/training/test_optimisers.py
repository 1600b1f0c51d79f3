from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from recommender.config.optimisation import Optimised
from recommender.errors import TrainingError
from recommender.models.towers import IdEmbedding
from recommender.training.averaging import WeightAverage
from recommender.training.optimisers import sparse_tables
from recommender.training.trainer import Trainer

CONFIG = Optimised(max_epochs=3, learning_rate=0.1, weight_decay=0.5)


class Tables(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sparse, self.dense = nn.Embedding(6, 2, sparse=True), nn.Embedding(6, 2)
        self.tied = nn.Embedding(6, 2, sparse=True)
        self.tied.weight = self.sparse.weight

    def losses(self, dense_use: bool = False) -> Iterator[tuple[Tensor, int]]:
        for rows in ([1, 1, 2], [2, 3]):
            vectors = self.sparse(torch.tensor(rows)) + self.dense(torch.tensor(rows)) + self.tied(torch.tensor(rows))
            yield vectors.square().mean() + (self.sparse.weight.mean() if dense_use else 0.0), len(rows)


def test_sparse_tables_learn_beside_dense_ones_in_the_rows_they_are_asked_for() -> None:
    module = Tables()
    before = module.sparse.weight.detach().clone()
    assert [id(table) for table in sparse_tables(module)] == [id(module.sparse.weight)]
    report = Trainer(module, lambda epoch: module.losses(), CONFIG, epochs=30).run()
    after = module.sparse.weight.detach()
    assert report.history[-1]["loss"] < 0.1 * report.history[0]["loss"]
    assert torch.equal(after[[0, 4, 5]], before[[0, 4, 5]])  # no gradient, no decay
    assert not torch.isclose(after[1:4], before[1:4]).any()


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_no_row_is_ever_longer_than_its_norm(averaging: float) -> None:
    table, lengths = IdEmbedding(4, 2, max_norm=0.5), []
    nn.init.ones_(table.weight)

    def epoch_losses(epoch: int) -> Iterator[tuple[Tensor, int]]:
        for rows in ([1, 2], [2, 3]):
            yield -table(torch.tensor(rows)).sum(), len(rows)
            lengths.append(table.weight.detach().norm(dim=1))

    Trainer(table, epoch_losses, CONFIG.model_copy(update={"averaging": averaging})).run()
    found = torch.stack([*lengths, table.weight.detach().norm(dim=1)])
    assert found.max() <= 0.5 + 1e-6  # the row that no batch reads too
    torch.testing.assert_close(found[:, 2], torch.full((7,), 0.5))


def test_clipping_sparse_gradients_is_refused_with_the_cure() -> None:
    module = Tables()
    with pytest.raises(TrainingError, match="clip_norm can't clip sparse gradients: set it to null"):
        Trainer(module, lambda epoch: module.losses(), CONFIG.model_copy(update={"clip_norm": 1.0}))


def test_a_dense_gradient_of_a_sparse_table_is_refused_with_the_cure() -> None:
    module = Tables()
    with pytest.raises(TrainingError, match="got a dense one: make the model's tables dense"):
        Trainer(module, lambda epoch: module.losses(dense_use=True), CONFIG).run()


def test_accumulated_sparse_gradients_step_like_one_large_batch() -> None:
    def fitted(parts: list[list[int]], accumulate: int) -> Tensor:
        table = nn.Embedding(5, 1, sparse=True)
        nn.init.ones_(table.weight)

        def epoch_losses(epoch: int) -> Iterator[tuple[Tensor, int]]:
            for rows in parts:
                yield (table(torch.tensor(rows)) * torch.tensor(rows).unsqueeze(1)).square().mean(), len(rows)

        Trainer(table, epoch_losses, CONFIG.model_copy(update={"accumulate": accumulate}), epochs=4).run()
        return table.weight.detach()

    torch.testing.assert_close(fitted([[1, 2, 2], [2], [4, 3]], 3), fitted([[1, 2, 2, 2, 4, 3]], 1))


def test_average_is_of_the_last_steps() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    average = WeightAverage([parameter], keep=0.5)
    for value in (1.0, 3.0):
        with torch.no_grad():
            parameter.fill_(value)
        average.update()
    # the first steps keep 1/11 and 2/12 of it: 10/11, then 10/11 * 2/12 + 3 * 10/12
    average.swap()
    assert parameter.item() == pytest.approx(10 / 11 * 2 / 12 + 3 * 10 / 12)
    average.swap()
    assert parameter.item() == 3.0


@given(st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=40), st.sampled_from([0.3, 0.9, 0.99]))
def test_the_average_of_a_sparse_table_is_that_of_a_dense_one(steps: list[list[int]], keep: float) -> None:
    rng = np.random.default_rng(0)
    table, copy = nn.Parameter(torch.ones(5, 2)), nn.Parameter(torch.ones(5, 2))
    lazy, plain = WeightAverage([table], keep, [table]), WeightAverage([copy], keep)
    for number, rows in enumerate(steps):
        gradient = torch.zeros(5, 2)
        gradient[rows] = 1.0
        table.grad = gradient.to_sparse(1)
        lazy.before_step()
        with torch.no_grad():
            table[rows] += float(rng.normal())
            copy.copy_(table)
        lazy.update()
        plain.update()
        if number % 7 == 3:  # a validation in between
            lazy.swap(), lazy.swap()
    lazy.swap(), plain.swap()
    torch.testing.assert_close(table, copy, rtol=1e-4, atol=1e-5)
