"""The towers' parts, by value."""

import numpy as np
import pytest
import torch

from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.features.encoding.fitted_columns import CategoryInput
from recommender.models.towers import CategoryEmbeddings, IdEmbedding, ItemTower, UserTower
from recommender.models.towers.fusion import AdaptiveMimic, Concat, Gated
from recommender.models.towers.history import AttentiveHistory, MeanHistory, WeightedHistory
from recommender.models.towers.parts import Dense

WIDTH = 4
SINGLE, SEVERAL = CategoryInput(5, 1), CategoryInput(6, 3)


def config(**keys: object) -> TwoTowerConfig:
    return TwoTowerConfig.model_validate({"dimension": WIDTH, "history_length": 5, "dropout": 0, **keys})


def randomised(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Every weight drawn, so that none of them hides behind a zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
        for part in module.modules():
            if isinstance(part, torch.nn.Embedding) and part.padding_idx is not None:
                part.weight[0] = 0
    return module


def embeddings(*inputs: CategoryInput) -> CategoryEmbeddings:
    module = CategoryEmbeddings(inputs, WIDTH)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for embedding in module:
            embedding.weight[1:] = torch.randn(embedding.weight[1:].shape, generator=generator)
    return module


def rand(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestCategories:
    """Several categories are the mean of their embeddings, exactly, for values and gradients."""

    def test_several_categories_are_the_mean_of_those_present(self) -> None:
        module = embeddings(SINGLE, SEVERAL, CategoryInput(3, 2))
        one, many, last = (embedding.weight for embedding in module)
        total = torch.ones(4, WIDTH)
        found = module.add_to(
            total, torch.tensor([[2, 3, 4, 5, 1, 0], [0, 3, 5, 0, 0, 0], [1, 4, 0, 0, 1, 2], [4, 0, 0, 0, 0, 0]])
        )
        three, two = (many[3] + many[4] + many[5]) / 3, (many[3] + many[5]) / 2
        expected = [one[2] + three + last[1], two, one[1] + many[4] + (last[1] + last[2]) / 2, one[4]]
        torch.testing.assert_close(found, 1 + torch.stack(expected))

    def test_one_value_each_is_the_very_same_as_a_category(self) -> None:
        indices = torch.tensor([[3], [0], [1]])
        padded = torch.nn.functional.pad(indices, (0, 7))
        single, several = (embeddings(CategoryInput(5, columns)) for columns in (1, 8))
        total = rand(3, WIDTH)
        np.testing.assert_array_equal(
            single.add_to(total, indices).detach().numpy(), several.add_to(total, padded).detach().numpy()
        )

    def test_every_category_present_learns_its_share_and_the_padding_nothing(self) -> None:
        module = embeddings(SEVERAL)
        module.add_to(torch.zeros(2, WIDTH), torch.tensor([[2, 4, 0], [3, 0, 0]])).sum().backward()
        gradient = module[0].weight.grad
        torch.testing.assert_close(gradient, torch.tensor([0, 0, 0.5, 1, 0.5, 0])[:, None].expand(-1, WIDTH))

    def test_both_towers_read_all_columns(self) -> None:
        item = ItemTower(3, [SINGLE, SEVERAL], 2, config())
        user = UserTower(3, [SINGLE, SEVERAL], 2, config())
        torch.nn.init.ones_(user.categories[1].weight[4:5].data)
        categories = torch.tensor([[2, 3, 4, 5], [2, 3, 4, 0]])
        ids, numbers = torch.zeros(2, dtype=torch.long), torch.zeros(2, 2)
        vectors = item(ids, categories, numbers)
        assert not torch.allclose(vectors[0], vectors[1])
        history, age, present = torch.zeros(2, 5, WIDTH), torch.zeros(2, 5), torch.zeros(2, 5, dtype=torch.bool)
        changed = torch.tensor([[2, 3, 4, 5], [2, 3, 0, 0]])
        vectors = user(history, age, present, ids, changed, numbers)
        assert not torch.allclose(vectors[0], vectors[1])


class TestTheSum:
    """The default, bit for bit as it was before there were other fusions."""

    IDS, CATEGORIES, NUMBERS = torch.tensor([2, 0]), torch.tensor([[2], [4]]), rand(2, 3)

    def test_an_item(self) -> None:
        tower = randomised(ItemTower(3, [SINGLE], 3, config()))
        content = tower.ids.weight[self.IDS] + tower.categories[0].weight[self.CATEGORIES[:, 0]]
        taste = torch.nn.functional.normalize(content + tower.numbers(self.NUMBERS), dim=-1)
        bias = tower.id_bias.weight[self.IDS] + tower.number_bias(self.NUMBERS)
        assert torch.equal(tower(self.IDS, self.CATEGORIES, self.NUMBERS), torch.cat([taste, bias], dim=-1))

    def test_a_user(self) -> None:
        tower = randomised(UserTower(3, [SINGLE], 3, config()))
        history, age = rand(2, 5, WIDTH), torch.tensor([[0.0, 1, 3, 9, 0], [5, 0, 0, 0, 0]])
        present = torch.tensor([[1, 1, 1, 1, 0], [1, 0, 0, 0, 0]], dtype=torch.bool)
        taste = tower.history(history, age, present) + tower.ids.weight[self.IDS] + tower.numbers(self.NUMBERS)
        taste = torch.nn.functional.normalize(taste + tower.categories[0].weight[self.CATEGORIES[:, 0]], dim=-1)
        found = tower(history, age, present, self.IDS, self.CATEGORIES, self.NUMBERS)
        assert torch.equal(found, torch.cat([taste, torch.ones(2, 1)], dim=-1))

    def test_fresh_weights_are_drawn_in_the_same_order(self) -> None:
        torch.manual_seed(5)
        tower = ItemTower(3, [SINGLE], 3, config())
        torch.manual_seed(5)
        torch.nn.Embedding(4, WIDTH), torch.nn.Embedding(5, WIDTH), torch.nn.Linear(3, WIDTH)
        torch.nn.Embedding(4, 1), torch.nn.Linear(3, 1)
        ids, category = torch.empty(4, WIDTH).normal_(std=0.25), torch.empty(5, WIDTH).normal_(std=0.25)
        assert torch.equal(tower.ids.weight[1:], ids[1:])
        assert torch.equal(tower.categories[0].weight[1:], category[1:])


class TestFusions:
    OWN, KNOWN = rand(3, WIDTH, seed=2), rand(3, WIDTH, seed=3)
    IDS = torch.tensor([1, 2, 0])

    def test_concat_is_a_dense_layer_over_both_and_starts_as_the_sum(self) -> None:
        fusion = Concat(WIDTH)
        found, augmented = fusion(self.IDS, self.OWN, self.KNOWN)
        torch.testing.assert_close(found, self.OWN + self.KNOWN + fusion.dense.bias)
        assert augmented is None
        randomised(fusion)
        left, right = fusion.dense.weight[:, :WIDTH], fusion.dense.weight[:, WIDTH:]
        found, _ = fusion(self.IDS, self.OWN, self.KNOWN)
        torch.testing.assert_close(found, self.OWN @ left.T + self.KNOWN @ right.T + fusion.dense.bias)

    def test_adaptive_mimic_reads_an_augmented_vector_of_each_id(self) -> None:
        fusion = randomised(AdaptiveMimic(WIDTH, 3, False))
        found, augmented = fusion(self.IDS, self.OWN, self.KNOWN)
        torch.testing.assert_close(augmented, fusion.augmented.weight[self.IDS])
        together = torch.cat([self.OWN, self.KNOWN, augmented], dim=-1)
        torch.testing.assert_close(found, together @ fusion.dense.weight.T + fusion.dense.bias)

    def test_gated_weighs_known_ids_and_predicts_for_unknown_ones(self) -> None:
        fusion = randomised(Gated(WIDTH, 3, False))
        found, augmented = fusion(self.IDS, self.OWN, self.KNOWN)
        gate = torch.sigmoid(fusion.gate(torch.cat([self.OWN, self.KNOWN], dim=-1)))
        mixed = gate * self.OWN + (1 - gate) * self.KNOWN
        torch.testing.assert_close(found[:2], mixed[:2] + fusion.dense(fusion.augmented.weight[1:3]))
        predicted = fusion.predicted(self.KNOWN[2])
        torch.testing.assert_close(augmented[2], predicted)
        torch.testing.assert_close(found[2], self.KNOWN[2] + fusion.dense(predicted))  # the gate is shut

    @pytest.mark.parametrize("fusion", ["sum", "concat", "adaptive_mimic", "gated"])
    @pytest.mark.parametrize("hidden", [(), (6, 3)], ids=["linear", "dense"])
    def test_whoever_is_new_is_told_apart_by_metadata(self, fusion: str, hidden: tuple[int, ...]) -> None:
        made = config(fusion=fusion, hidden=hidden, history="none")
        for tower in (ItemTower(3, [SINGLE], 2, made), UserTower(3, [SINGLE], 2, made)):
            randomised(tower).eval()
            inputs = torch.tensor([0, 0]), torch.tensor([[2], [3]]), rand(2, 2)
            vectors = tower(*inputs) if isinstance(tower, ItemTower) else tower(None, None, None, *inputs)
            assert torch.isfinite(vectors).all()
            assert not torch.allclose(vectors[0], vectors[1])

    def test_identity_reads_no_metadata(self) -> None:
        tower = randomised(ItemTower(3, [SINGLE], 2, config(fusion="identity")))
        ids = torch.tensor([2, 2])
        vectors = tower(ids, torch.tensor([[2], [3]]), rand(2, 2))
        assert torch.equal(vectors[0], vectors[1])
        torch.testing.assert_close(vectors[0, :-1], torch.nn.functional.normalize(tower.ids.weight[2], dim=0))

    def test_ids_of_another_width_are_projected(self) -> None:
        tower = randomised(ItemTower(3, [], 0, config(id_dimension=2, similarity="dot", item_bias=False)))
        found = tower(torch.tensor([1]), torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 0))
        torch.testing.assert_close(found[0], tower.ids.weight[1] @ tower.project.weight.T + tower.numbers.bias)


class TestHistories:
    HISTORY, AGE = rand(3, 5, WIDTH), torch.tensor([[0.0, 1, 2, 4, 8]] * 3)
    PRESENT = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)

    @pytest.mark.parametrize(
        "encoder", [WeightedHistory(WIDTH, 5, 5), AttentiveHistory(WIDTH, 5, 5), MeanHistory(WIDTH)]
    )
    def test_absent_items_count_nothing_and_no_history_is_zero(self, encoder: torch.nn.Module) -> None:
        randomised(encoder)
        query = rand(3, WIDTH, seed=4)
        pooled = encoder(self.HISTORY, self.AGE, self.PRESENT, query)
        noise = self.HISTORY.masked_fill(~self.PRESENT.unsqueeze(-1), 99.0)
        torch.testing.assert_close(encoder(noise, self.AGE, self.PRESENT, query), pooled)
        assert torch.equal(pooled[2], torch.zeros(WIDTH))
        pooled.sum().backward()
        assert all(torch.isfinite(weight.grad).all() for weight in encoder.parameters() if weight.grad is not None)

    @pytest.mark.parametrize("kind", ["weighted", "attention"])
    def test_older_items_than_training_shows_weigh_as_the_last_it_shows(self, kind: str) -> None:
        tower = randomised(UserTower(3, [], 2, config(history=kind, history_dropout=0.4)))  # three of five are left
        weights = tower.history.position_weights
        logits = tower.history.logits(torch.zeros(1, 5))
        torch.testing.assert_close(logits[0] - logits[0, :, :1], weights[:, [0, 1, 2, 2, 2]] - weights[:, :1])
        assert tower.history.logits(torch.zeros(1, 2)).shape == (1, 2, 2)
        whole = randomised(UserTower(3, [], 2, config(history=kind, history_dropout=0)))
        assert len(whole.history.logits(torch.zeros(1, 5))[0, 0].unique()) == 5

    def test_the_mean(self) -> None:
        found = MeanHistory(WIDTH)(self.HISTORY, self.AGE, self.PRESENT)
        torch.testing.assert_close(found[:2], torch.stack([self.HISTORY[0].mean(0), self.HISTORY[1, :2].mean(0)]))

    def test_attention_starts_as_the_weighted_mean_and_learns_to_look_at_what_the_query_is_like(self) -> None:
        torch.manual_seed(0)
        attentive, weighted = AttentiveHistory(WIDTH, 5, 4), WeightedHistory(WIDTH, 5, 4)
        query = self.HISTORY[:, 3] * 10
        inputs = self.HISTORY, self.AGE, self.PRESENT
        assert torch.equal(attentive(*inputs, query), weighted(*inputs))
        with torch.no_grad():
            attentive.queries.weight.copy_(torch.eye(WIDTH).repeat(2, 1) * 10)
        torch.testing.assert_close(attentive(*inputs, query)[0], 2 * self.HISTORY[0, 3])  # two heads, both there

    def test_attention_asks_with_metadata_and_the_latest_item(self) -> None:
        tower = randomised(UserTower(3, [SINGLE], 2, config(history="attention"))).eval()
        ids, numbers = torch.zeros(3, dtype=torch.long), torch.zeros(3, 2)
        described = tower.with_metadata(torch.zeros(3, WIDTH), torch.full((3, 1), 2), numbers)
        query = described + self.HISTORY[:, 0] * self.PRESENT[:, :1]
        taste = tower.history(self.HISTORY, self.AGE, self.PRESENT, query) + tower.ids(ids) + described
        found = tower(self.HISTORY, self.AGE, self.PRESENT, ids, torch.full((3, 1), 2), numbers)
        torch.testing.assert_close(found[:, :-1], torch.nn.functional.normalize(taste, dim=-1))


class TestDense:
    def test_a_lone_row_uses_the_running_statistics(self) -> None:
        dense = Dense(3, config(hidden=(6,), normalisation="batch"), 0.5)
        for _ in range(20):
            dense(rand(8, 3) * 3 + 1)
        before = dense[1].running_mean.clone()
        alone = dense(rand(1, 3))
        assert dense.training
        assert torch.equal(before, dense[1].running_mean)
        torch.testing.assert_close(alone, dense.eval()(rand(1, 3)))

    def test_a_lone_row_learns(self) -> None:
        tower = ItemTower(3, [SINGLE], 2, config(hidden=(6,), normalisation="batch"))
        tower(torch.tensor([0]), torch.tensor([[2]]), rand(1, 2))[0, 0].backward()
        assert tower.dense[0].weight.grad.abs().max() > 0

    @pytest.mark.parametrize("norm", ["none", "batch", "layer"])
    def test_layers_are_as_wide_as_asked(self, norm: str) -> None:
        dense = Dense(3, config(hidden=(6, 5), normalisation=norm), 0.5)
        assert [part.out_features for part in dense if isinstance(part, torch.nn.Linear)] == [6, 5, WIDTH]
        assert sum(isinstance(part, torch.nn.LayerNorm) for part in dense) == 2 * (norm == "layer")

    def test_fresh_layers_give_vectors_as_long_as_ids(self) -> None:
        torch.manual_seed(0)
        made = config(dimension=64, hidden=(192, 96), normalisation="layer")
        assert Dense(32, made, 0.5)(rand(500, 32)).norm(dim=1).mean().item() == pytest.approx(0.5, abs=0.1)


class TestIds:
    @pytest.mark.parametrize("training", [True, False])
    def test_reading_changes_no_vector_however_long(self, training: bool) -> None:
        table = IdEmbedding(3, WIDTH, padding_idx=0, max_norm=0.5).train(training)
        torch.nn.init.ones_(table.weight)
        table(torch.tensor([0, 1])).sum().backward()
        assert torch.equal(table.weight, torch.ones(3, WIDTH))
        assert torch.equal(table.weight.grad[:, 0], torch.tensor([0.0, 1, 0]))

    def test_gradients_are_sparse_where_asked(self) -> None:
        tower = ItemTower(3, [], 0, config(sparse_ids=True, fusion="adaptive_mimic"))
        tower(torch.tensor([1]), torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 0))[0, 0].backward()
        assert tower.ids.weight.grad.is_sparse
        assert tower.fusion.augmented.weight.grad.is_sparse


def test_a_dot_product_keeps_lengths() -> None:
    tower = randomised(ItemTower(3, [], 2, config(similarity="dot", item_bias=False)))
    found = tower(torch.tensor([1]), torch.zeros(1, 0, dtype=torch.long), rand(1, 2))
    torch.testing.assert_close(found, tower.ids.weight[1:2] + tower.numbers(rand(1, 2)))
