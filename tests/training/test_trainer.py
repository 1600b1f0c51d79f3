from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from recommender.errors import TrainingError
from recommender.training.trainer import Schedule, WeightAverage, train

SCHEDULE = Schedule(max_epochs=10, patience=2, learning_rate=0.1, weight_decay=0.0, averaging=0.0)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))


def losses(module: Scale) -> Iterator[tuple[Tensor, int]]:
    for _ in range(3):
        yield (module.value - 1).square().sum(), 5


def test_best_weights_come_back() -> None:
    module = Scale()
    recalls = iter([0.1, 0.3, 0.2, 0.1, 0.9])
    values: list[float] = []

    def recall() -> float:
        values.append(module.value.item())
        return next(recalls)

    report = train(module, lambda epoch: losses(module), SCHEDULE, recall=recall)
    assert report.epochs == 2
    assert len(report.history) == 4  # two epochs of patience after the best
    assert module.value.item() == values[1]
    assert not module.training


def test_fixed_epochs_ignore_recall() -> None:
    module = Scale()
    schedule = Schedule(max_epochs=10, patience=1, learning_rate=0.1, weight_decay=0.0, averaging=0.0, epochs=4)
    report = train(module, lambda epoch: losses(module), schedule, recall=lambda: 0.0)
    assert (report.epochs, len(report.history)) == (4, 4)


def test_refit_repeats_the_fit() -> None:
    first, second = Scale(), Scale()
    recalls = iter([0.1, 0.2, 0.3, 0.0, 0.0])
    epochs = train(first, lambda epoch: losses(first), SCHEDULE, recall=lambda: next(recalls)).epochs
    schedule = Schedule(max_epochs=10, patience=2, learning_rate=0.1, weight_decay=0.0, averaging=0.0, epochs=epochs)
    train(second, lambda epoch: losses(second), schedule)
    assert first.value.item() == second.value.item()


def test_average_is_of_the_last_steps() -> None:
    module = Scale()
    average = WeightAverage(module, keep=0.5)
    for value in (1.0, 3.0):
        with torch.no_grad():
            module.value.fill_(value)
        average.update()
    # the first steps keep 1/11 and 2/12 of it: 10/11, then 10/11 * 2/12 + 3 * 10/12
    average.swap()
    assert module.value.item() == pytest.approx(10 / 11 * 2 / 12 + 3 * 10 / 12)
    average.swap()
    assert module.value.item() == 3.0


def test_nan_is_an_error() -> None:
    module = Scale()

    def broken() -> Iterator[tuple[Tensor, int]]:
        yield module.value.sum() * float("nan"), 1

    with pytest.raises(TrainingError, match="nan in epoch 1"):
        train(module, lambda epoch: broken(), SCHEDULE)
