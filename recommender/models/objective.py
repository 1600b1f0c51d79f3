"""What the two towers are trained on: batches of indices become tensors, vectors and a loss."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from recommender.columns import CATEGORY
from recommender.config.profile import Profile
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import Dataset, TrainingRows
from recommender.errors import TrainingError
from recommender.features.encoding import FeatureEncoder
from recommender.models.attached import Attached, history_tensors
from recommender.models.distillation import Distillation
from recommender.models.ease import Ease
from recommender.models.mimic import alignment_loss, mimic_loss
from recommender.models.side import categories_of
from recommender.models.towers import Encoded
from recommender.models.widening import Widening
from recommender.training import losses
from recommender.training.batches import Batch, BatchMaker
from recommender.training.distributed import shard

Loss = Callable[..., Tensor]


class Objective:
    """Losses of one epoch's batches.

    Raises
    ------
    TrainingError
        There is no row to train on, or `align_by` is no categorical item feature.
    """

    def __init__(
        self,
        towers: nn.ModuleDict,
        config: TwoTowerConfig,
        dataset: Dataset,
        rows: TrainingRows,
        encoders: tuple[FeatureEncoder, FeatureEncoder],
        state: Attached,
        device: torch.device,
        teacher: Ease | None = None,
    ) -> None:
        self._distillation = None if teacher is None else Distillation(teacher, config)
        self._towers, self._config, self._device = towers, config, device
        self._reads_history = config.history != "none"
        self._batches = BatchMaker(
            dataset,
            rows,
            history_length=config.history_length if self._reads_history else 1,
            history_dropout=config.history_dropout,
            stretch_days=config.stretch_days,
            stretch_events=config.stretch_events,
            hide=config.hide,
            batch_size=config.batch_size,
        )
        self.batches_an_epoch = -(-len(self._batches) // config.batch_size)
        """About so many."""
        self._state = state
        self._user_numbers, self._user_categories = encoders[0].transform(rows.user_features)
        self._item_numbers, _ = encoders[1].transform(rows.item_features)
        self._widen = Widening(dataset, rows, self._batches.shares, config)
        self._aligned = _aligned_column(encoders[1], config)
        self._score_loss = score_loss(config)

    @property
    def shares(self) -> npt.NDArray[np.float32]:
        """(items,) share of the rows that batches are drawn from."""
        return self._batches.shares

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, int]]:
        """(loss, examples) of each batch, or of this process's share of them."""
        for batch in shard(self._batches.epoch(rng)):
            yield self._loss(batch, rng), len(batch.weights)

    def encoded(self, rng: np.random.Generator) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        """Each batch with its users' and its candidates' vectors: what a prediction head learns from."""
        for batch in shard(self._batches.epoch(rng)):
            users, items, _ = self._encode(batch, rng)
            yield batch, users.vector, items.vector

    def _loss(self, drawn: Batch, rng: np.random.Generator) -> Tensor:
        batch, log_q = self._widen(drawn, rng)
        users, items, categories = self._encode(batch, rng)
        targets = (self._on_device(batch.targets[0]), self._on_device(batch.targets[1]))
        scored = users.vector, items.vector, self._on_device(log_q)
        if self._distillation is None:
            forbidden = (self._on_device(batch.forbidden[0]), self._on_device(batch.forbidden[1]))
            loss = self._score_loss(*scored, targets, forbidden, self._on_device(batch.weights))
        else:
            goal, (row, column) = self._distillation.goal(batch, log_q)
            forbidden = (row.to(self._device), column.to(self._device))
            loss = losses.soft_cross_entropy(*scored, forbidden, goal.to(self._device), self._config.temperature)
        if users.augmented is None or items.augmented is None:
            return loss
        user_taste, item_taste = (vector[:, : self._config.dimension] for vector in (users.vector, items.vector))
        mimicry = mimic_loss(user_taste, item_taste, users.augmented, items.augmented, targets)
        loss = loss + self._config.mimic_weight * mimicry
        if self._aligned is None or self._config.alignment_weight == 0:
            return loss
        return loss + self._config.alignment_weight * alignment_loss(item_taste, categories[:, self._aligned])

    def _encode(self, batch: Batch, rng: np.random.Generator) -> tuple[Encoded, Encoded, Tensor]:
        """The batch's users, its candidates, and the (c, categories) of those."""
        tower_user: Any = self._towers["user"]
        tower_item: Any = self._towers["item"]
        history, age, present = history_tensors(batch.histories)
        # one row of the content table for each item that occurs in the batch
        candidates = torch.from_numpy(batch.candidates)
        occurring = torch.cat([history.ravel(), candidates]) if self._reads_history else candidates
        needed, place = torch.unique(occurring, return_inverse=True)
        ids = self._state.item[needed.to(self._device)]
        ids = ids * self._keep(len(ids), rng)
        categories = self._state.item_categories[needed.to(self._device)]
        content = tower_item.content(ids, categories)
        place = place.to(self._device)
        candidate_place = place[-len(candidates) :]
        met: tuple[Tensor | None, ...] = (None, None, None)
        if self._reads_history:
            met_content = nn.functional.embedding(place[: history.numel()].view(history.shape), content)
            met = met_content, age.to(self._device), present.to(self._device)
        users = tower_user.encode(
            *met,
            self._on_device(self._state.user[batch.users]) * self._keep(len(batch.users), rng),
            self._on_device(self._user_categories[batch.user_rows].astype(np.int64)),
            self._on_device(self._user_numbers[batch.user_rows]),
        )
        candidate_categories = categories[candidate_place]
        items = tower_item.encode(
            content[candidate_place],
            ids[candidate_place],
            candidate_categories,
            self._on_device(self._item_numbers[batch.candidate_rows]),
        )
        return users, items, candidate_categories

    def _keep(self, count: int, rng: np.random.Generator) -> Tensor:
        """0 for the ids hidden this time, else 1."""
        return self._on_device((rng.random(count) >= self._config.id_dropout).astype(np.int64))

    def _on_device(self, array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def score_loss(config: TwoTowerConfig) -> Loss:
    """The configured loss of (b, d) users, (c, d) candidates, log_q, targets, forbidden pairs and weights.

    See `losses.in_batch_softmax` for each of them.
    """
    chosen: dict[str, Loss] = {
        "in_batch_softmax": losses.in_batch_softmax,
        "sampled_softmax": losses.sampled_softmax,
        "full_softmax": losses.full_softmax,
        "bce": partial(losses.binary_cross_entropy, negative_weight=config.negative_weight),
        "bpr": losses.bpr,
        "cosine_contrastive": partial(
            losses.cosine_contrastive, margin=config.margin, negative_weight=config.negative_weight
        ),
    }
    return partial(chosen[config.loss], temperature=config.temperature)


def require_declared(config: TwoTowerConfig, profile: Profile) -> None:
    """Refuse a configuration that names features of the items which nobody declared.

    Raises
    ------
    ConfigError
        `align_by` or the teacher's `side_features` do.
    """
    if config.align_by is not None:
        categories_of(profile, "item", [config.align_by], "align_by")
    if config.teacher is not None:
        categories_of(profile, "item", config.teacher.side_features, "teacher.side_features")


def _aligned_column(encoder: FeatureEncoder, config: TwoTowerConfig) -> int | None:
    """Column of the integer matrix by which items are aligned, None for no alignment."""
    names = [column.name for column in encoder.of_categories]
    wanted = config.align_by or CATEGORY
    if wanted not in names:
        if config.align_by is None:
            return None
        raise TrainingError(
            f"model.align_by names {wanted}, which is no categorical item feature: "
            f"choose one of {', '.join(names) or 'those you declare'}, or leave it out"
        )
    return sum(columns for _, columns in encoder.category_inputs[: names.index(wanted)])
