from collections.abc import Iterator

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from recommender.config.optimisation import Optimised
from recommender.config.training import Training
from recommender.errors import TrainingError
from recommender.models.two_tower import TwoTower
from recommender.training.distributed import Peers
from recommender.training.fitting import fit_module
from recommender.training.precision import Precision
from recommender.training.stepping import Stepper
from tests.models.test_two_tower import SMALL
from tests.models.worlds import ITEM_FEATURES, USER_FEATURES, USERS, checkerboard, rows_of

CPU = torch.device("cpu")


class Probe(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        for parameter in self.layer.parameters():
            nn.init.ones_(parameter)  # a start that has something to lose
        self.seen: set[torch.dtype] = set()

    def losses(self) -> Iterator[tuple[Tensor, int]]:
        out = self.layer(torch.tensor([[1.0, 2.0]]))
        self.seen.add(out.dtype)
        yield out.float().square().sum(), 1


def test_bf16_is_of_products_alone() -> None:
    module = Probe()
    training = Training(device="cpu", precision="bf16")
    report = fit_module(module, lambda epoch: module.losses(), Optimised(learning_rate=0.1), training, epochs=20)
    assert module.seen == {torch.bfloat16}
    assert module.layer.weight.dtype == torch.float32
    assert report.history[-1]["loss"] < 0.1 * report.history[0]["loss"]
    assert not torch.is_autocast_enabled("cpu")


def test_two_towers_in_bf16_find_the_right_colour() -> None:
    dataset = checkerboard()
    lists = []
    for precision in ("fp32", "bf16"):
        model = TwoTower(SMALL, Training(device="cpu", precision=precision), USER_FEATURES, ITEM_FEATURES)
        model.fit(dataset, rows_of(dataset), epochs=20)
        lists.append(model.recommend(np.arange(USERS), 4).items)
        assert (lists[-1] % 2 == np.arange(USERS)[:, None] % 2).all()
    assert not np.array_equal(*lists)  # it was computed otherwise


def test_fp16_without_a_gpu_is_refused_with_the_cure() -> None:
    with pytest.raises(ValidationError, match="fp16 needs a GPU: say bf16, or device: cuda"):
        Training(precision="fp16", device="cpu")
    with pytest.raises(TrainingError, match="fp16 needs a GPU, and there is none: set it to bf16"):
        Precision("fp16", CPU)


def test_a_step_that_the_scaler_skips_is_no_failure() -> None:
    module = nn.Linear(1, 1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120, growth_interval=1000)
    stepper = Stepper(module, Optimised(clip_norm=1.0), scaler, Peers(CPU), measure=False)
    before = module.weight.item()
    changed = []
    for _ in range(12):
        loss = module(torch.full((1, 1), 100.0)).square().sum()
        assert stepper.step(iter([(loss, 1)]), rate=0.1) is not None
        changed.append(module.weight.item() != before)
        assert np.isfinite(module.weight.item())
    assert not changed[0]
    assert changed[-1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_two_towers_on_a_gpu(precision: str) -> None:
    dataset = checkerboard()
    training = Training.model_validate({"device": "cuda", "precision": precision})
    model = TwoTower(SMALL, training, USER_FEATURES, ITEM_FEATURES)
    model.fit(dataset, rows_of(dataset), epochs=20)
    assert (model.recommend(np.arange(USERS), 4).items % 2 == np.arange(USERS)[:, None] % 2).all()
