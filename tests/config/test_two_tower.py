"""What a profile may ask of the two towers, and what it is told where two wishes don't go together."""

import pytest
from pydantic import ValidationError

from recommender.config.two_tower import TwoTower

BOOKS = {
    "dimension": 96,
    "fusion": "adaptive_mimic",
    "id_dimension": 96,
    "sparse_ids": True,
    "hidden": [192, 96],
    "normalisation": "batch",
    "loss": "sampled_softmax",
    "negatives": "popularity",
    "negatives_per_positive": 5,
    "export_variants": ["fp16", "int8"],
}


def test_everything_a_bookshop_asks_for() -> None:
    config = TwoTower.model_validate(BOOKS)
    assert config.vector_width == 97
    assert TwoTower.model_validate(config.model_dump(mode="json")) == config


def test_without_a_bias_vectors_are_as_wide_as_asked() -> None:
    assert TwoTower(dimension=8, item_bias=False).vector_width == 8


@pytest.mark.parametrize(
    ("wish", "cure"),
    [
        ({"sparse_ids": True, "max_norm": 1.0}, "leave out max_norm"),
        ({"sparse_ids": True, "clip_norm": 1.0}, "leave out clip_norm"),
        ({"fusion": "identity", "item_ids": False}, "set user_ids and item_ids"),
        ({"fusion": "identity", "user_ids": False, "history": "none"}, "set user_ids and item_ids"),
        ({"fusion": "identity", "hidden": [8]}, "fusion: sum"),
        ({"fusion": "adaptive_mimic", "user_ids": False}, "fusion: sum"),
        ({"fusion": "gated", "item_ids": False}, "fusion: sum"),
        ({"normalisation": "batch"}, "name hidden widths"),
        ({"loss": "full_softmax", "negatives": "uniform"}, "leave negatives at in_batch"),
        ({"loss": "cosine_contrastive", "similarity": "dot"}, "similarity: cosine"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_cure(wish: dict[str, object], cure: str) -> None:
    with pytest.raises(ValidationError, match=cure):
        TwoTower.model_validate(wish)
