from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from recommender.config.optimisation import Optimised
from recommender.config.training import Training
from recommender.errors import TrainingError
from recommender.training.distributed import Peers
from recommender.training.fitting import device_of, fit_module, seeded
from recommender.training.pulse import Pulse
from recommender.training.stepping import Stepper
from recommender.training.trainer import Trainer

CONFIG = Optimised(max_epochs=10, patience=2, learning_rate=0.1, weight_decay=0.0, averaging=0.0)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))


def losses(module: Scale, batches: int = 3) -> Iterator[tuple[Tensor, int]]:
    for _ in range(batches):
        yield (module.value - 1).square().sum(), 5


def changed(**keys: object) -> Optimised:
    return Optimised(**{**CONFIG.model_dump(), **keys})


def test_best_weights_come_back() -> None:
    module = Scale()
    recalls = iter([0.1, 0.3, 0.2, 0.1, 0.9])
    values: list[float] = []

    def recall() -> float:
        values.append(module.value.item())
        return next(recalls)

    report = Trainer(module, lambda epoch: losses(module), CONFIG, recall=recall).run()
    assert report.epochs == 2
    assert len(report.history) == 4  # two epochs of patience after the best
    assert module.value.item() == values[1]
    assert not module.training


def test_fixed_epochs_ignore_recall() -> None:
    module = Scale()
    report = Trainer(module, lambda epoch: losses(module), CONFIG, epochs=4, recall=lambda: 0.0).run()
    assert (report.epochs, len(report.history)) == (4, 4)


@pytest.mark.parametrize("keys", [{}, {"schedule": "cosine", "warmup_epochs": 1.5}, {"schedule": "linear"}])
def test_refit_repeats_the_fit(keys: dict[str, object]) -> None:
    first, second, config = Scale(), Scale(), changed(**keys)
    recalls = iter([0.1, 0.2, 0.3, 0.0, 0.0])
    epochs = Trainer(first, lambda epoch: losses(first), config, recall=lambda: next(recalls)).run().epochs
    Trainer(second, lambda epoch: losses(second), config, epochs=epochs).run()
    assert epochs == 3
    assert first.value.item() == second.value.item()


def steps_of(config: Optimised, lengths: list[int], batches: int | None = None) -> list[float]:
    """The learning rate of every step, which is how far each goes along a gradient that is always 1."""
    module, rates = Scale(), []

    def epoch_losses(epoch: int) -> Iterator[tuple[Tensor, int]]:
        for _ in range(lengths[epoch - 1]):
            before = module.value.item()
            yield module.value.sum(), 1
            if torch.is_grad_enabled():
                rates.append(before - module.value.item())

    Trainer(module, epoch_losses, config, epochs=len(lengths), batches=batches).run()
    return rates


@pytest.mark.parametrize("batches", [None, 4])
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"schedule": "constant", "warmup_epochs": 1.5}, np.minimum(1, (np.arange(16) + 1) / 6)),
        ({"schedule": "linear"}, 1 - np.arange(16) / 16),
        ({"schedule": "cosine"}, (1 + np.cos(np.pi * np.arange(16) / 16)) / 2),
        ({"schedule": "linear", "warmup_epochs": 1}, [0.25, 0.5, 0.75, 1, *(1 - np.arange(12) / 12)]),
    ],
)
def test_schedules(keys: dict[str, object], expected: list[float], batches: int | None) -> None:
    found = steps_of(changed(max_epochs=4, learning_rate=0.01, **keys), [4] * 4, batches)
    np.testing.assert_allclose(found, 0.01 * np.asarray(expected), atol=2e-6)


def test_an_epoch_longer_than_the_one_before_waits_for_the_next() -> None:
    rates = steps_of(changed(max_epochs=4, learning_rate=0.01, schedule="linear"), [2, 4, 1], batches=2)
    np.testing.assert_allclose(rates, np.array([1, 0.875, 0.75, 0.625, 0.5, 0.5, 0.5]) * 0.01, atol=2e-6)


def test_a_warm_up_that_never_ends_is_refused() -> None:
    with pytest.raises(ValidationError, match="warmup_epochs \\(3\\) must be less than max_epochs \\(3\\)"):
        Optimised(warmup_epochs=3, max_epochs=3)


def test_accumulated_batches_step_like_one_large_batch() -> None:
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.normal(size=(20, 3))).float(), torch.from_numpy(rng.normal(size=20)).float()

    def fitted(sizes: list[int], accumulate: int) -> Tensor:
        weights = nn.Linear(3, 1)
        nn.init.zeros_(weights.weight), nn.init.zeros_(weights.bias)

        def epoch_losses(epoch: int) -> Iterator[tuple[Tensor, int]]:
            for part_x, part_y in zip(x.split(sizes), y.split(sizes), strict=True):
                yield (weights(part_x).squeeze(1) - part_y).square().mean(), len(part_y)

        Trainer(weights, epoch_losses, changed(accumulate=accumulate), epochs=5).run()
        return weights.weight.detach()

    torch.testing.assert_close(fitted([3, 9, 2, 6], accumulate=4), fitted([20], accumulate=1))
    torch.testing.assert_close(fitted([3, 7, 2, 6, 2], accumulate=2), fitted([10, 8, 2], accumulate=1))


def test_clipped_gradients_have_the_length_asked_for() -> None:
    module = Scale()
    scaler, peers = torch.amp.GradScaler("cpu", enabled=False), Peers(torch.device("cpu"))
    stepper = Stepper(module, changed(clip_norm=0.5), scaler, peers, measure=False)
    for factor, length in ((100.0, 0.5), (0.25, 0.25)):
        taken = stepper.step(iter([(module.value.sum() * factor, 1)]), rate=0.1)
        assert module.value.grad is not None
        assert module.value.grad.item() == pytest.approx(length, abs=1e-5)
        assert taken is not None and taken.norm == factor


def test_a_loss_that_is_no_number_is_an_error() -> None:
    module = Scale()

    def epoch_losses(epoch: int) -> Iterator[tuple[Tensor, int]]:
        yield module.value.sum(), 1
        yield module.value.sum() * float("nan"), 1

    with pytest.raises(TrainingError, match="loss became nan in epoch 1, step 2: lower model.learning_rate"):
        Trainer(module, epoch_losses, CONFIG).run()


def test_the_last_good_checkpoint_is_named(tmp_path: Path) -> None:
    module = Scale()

    def epoch_losses(epoch: int) -> Iterator[tuple[Tensor, int]]:
        yield module.value.sum() * (1.0 if epoch < 3 else float("inf")), 1

    with pytest.raises(TrainingError, match=f"epoch 3, step 1: .*the state after epoch 2 is kept in {tmp_path}/kept"):
        fit_module(module, epoch_losses, CONFIG, Training(device="cpu"), checkpoints=tmp_path / "kept")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["00001-00000000", "00002-00000000"]


def test_weights_that_are_no_numbers_never_reach_a_checkpoint(tmp_path: Path) -> None:
    module = Scale()

    def epoch_losses(epoch: int) -> Iterator[tuple[Tensor, int]]:
        yield (module.value * 1e30).square().sum().sqrt(), 1  # finite, and its gradient at 0 is not

    with pytest.raises(TrainingError, match="weights became infinite or no numbers in epoch 1"):
        fit_module(module, epoch_losses, CONFIG, Training(device="cpu"), checkpoints=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("batches", "first", "said"),
    [
        (None, "epoch 1/9: 10 batches, loss 0.5000, 10 examples/s", (10, 30, 70, 150)),
        (200, "epoch 1/9: 10 %, loss 0.5000, 10 examples/s, 3:00 left", range(20, 200, 20)),
        (50, "epoch 1/9: 20 %, loss 0.5000, 10 examples/s, 0:40 left", range(10, 51, 10)),
    ],
)
def test_long_epochs_say_how_far_they_are_and_not_too_often(
    batches: int | None, first: str, said: Iterable[int]
) -> None:
    seconds = iter(range(1000))
    lines: list[str] = []
    pulse = Pulse("epoch 1/9", batches, lines.append, clock=lambda: float(next(seconds)))
    at = []
    for batch in range(1, (batches or 200) + 1):
        before = len(lines)
        pulse.beat(batch, 10 * batch, 0.5, batch)
        at += [batch] * (len(lines) - before)
    assert lines[0] == first
    assert at == list(said)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error_with_the_cure() -> None:
    module = Scale()
    with pytest.raises(TrainingError, match=r"training.device is cuda, and .* no CUDA GPU: say auto or cpu"):
        fit_module(module, lambda epoch: losses(module), CONFIG, Training(device="cuda"))
    assert device_of(Training(device="auto")).type == "cpu"


def test_the_seed_and_the_settings_around_a_fit_stay_inside_it() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    drawn: list[float] = []
    for _ in range(2):
        with seeded(Training(seed=3, threads=1, device="cpu")):
            assert torch.are_deterministic_algorithms_enabled()
            assert torch.get_num_threads() == 1
            drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[1]
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == threads
