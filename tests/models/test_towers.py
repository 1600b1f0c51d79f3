"""What several categories are to a tower: the mean of their embeddings, exactly, for values and gradients."""

import numpy as np
import torch

from recommender.features.encoding.fitted_columns import CategoryInput
from recommender.models.towers import CategoryEmbeddings, ItemTower, UserTower

WIDTH = 4
SINGLE, SEVERAL = CategoryInput(5, 1), CategoryInput(6, 3)


def embeddings(*inputs: CategoryInput) -> CategoryEmbeddings:
    module = CategoryEmbeddings(inputs, WIDTH)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for embedding in module:
            embedding.weight[1:] = torch.randn(embedding.weight[1:].shape, generator=generator)
    return module


def test_several_categories_are_the_mean_of_those_present() -> None:
    module = embeddings(SINGLE, SEVERAL, CategoryInput(3, 2))
    one, many, last = (embedding.weight for embedding in module)
    total = torch.ones(4, WIDTH)
    found = module.add_to(
        total, torch.tensor([[2, 3, 4, 5, 1, 0], [0, 3, 5, 0, 0, 0], [1, 4, 0, 0, 1, 2], [4, 0, 0, 0, 0, 0]])
    )
    three, two = (many[3] + many[4] + many[5]) / 3, (many[3] + many[5]) / 2
    expected = [one[2] + three + last[1], two, one[1] + many[4] + (last[1] + last[2]) / 2, one[4]]
    torch.testing.assert_close(found, 1 + torch.stack(expected))


def test_one_value_each_is_the_very_same_as_a_category() -> None:
    indices = torch.tensor([[3], [0], [1]])
    padded = torch.nn.functional.pad(indices, (0, 7))
    single, several = (embeddings(CategoryInput(5, columns)) for columns in (1, 8))
    total = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(
        single.add_to(total, indices).detach().numpy(), several.add_to(total, padded).detach().numpy()
    )


def test_every_category_present_learns_its_share_and_the_padding_nothing() -> None:
    module = embeddings(SEVERAL)
    module.add_to(torch.zeros(2, WIDTH), torch.tensor([[2, 4, 0], [3, 0, 0]])).sum().backward()
    gradient = module[0].weight.grad
    torch.testing.assert_close(gradient, torch.tensor([0, 0, 0.5, 1, 0.5, 0])[:, None].expand(-1, WIDTH))


def test_both_towers_read_all_columns() -> None:
    item = ItemTower(3, [SINGLE, SEVERAL], 2, WIDTH)
    user = UserTower(3, [SINGLE, SEVERAL], 2, WIDTH, 5, 0.0)
    torch.nn.init.ones_(user.categories[1].weight[4:5].data)
    categories = torch.tensor([[2, 3, 4, 5], [2, 3, 4, 0]])
    ids, numbers = torch.zeros(2, dtype=torch.long), torch.zeros(2, 2)
    vectors = item(ids, categories, numbers)
    assert not torch.allclose(vectors[0], vectors[1])
    history, age, present = torch.zeros(2, 5, WIDTH), torch.zeros(2, 5), torch.zeros(2, 5, dtype=torch.bool)
    changed = torch.tensor([[2, 3, 4, 5], [2, 3, 0, 0]])
    vectors = user(history, age, present, ids, changed, numbers)
    assert not torch.allclose(vectors[0], vectors[1])
