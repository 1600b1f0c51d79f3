"""Boosted trees evaluated by bits, many pairs at a time: several times faster where some columns are exchanged.

Lucchese et al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees" (SIGIR
2015): a node whose test a pair fails rules out the leaves on its left; of the leaves that no node rules out, the first
is the pair's. What the nodes of a column rule out doesn't depend on other columns, so it is found once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from recommender.models.ranking.groups import Floats

if TYPE_CHECKING:
    from lightgbm import Booster

MOST_LEAVES = 16
PAIRS = 1 << 14
"""At a time: their bits and their features stay in a core's cache."""
_FIRST_LEFT = np.array([(~n & (n + 1)).bit_length() - 1 for n in range(1 << MOST_LEAVES)], np.uint8)
"""Of each number the position of its lowest bit that is not set."""

Bits = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Node:
    """A test `value <= threshold`."""

    column: int
    threshold: np.float32
    passes_missing: bool
    rules_out: np.uint16
    """Leaves, where the test is failed: those on its left."""


@dataclass(frozen=True)
class Tree:
    """Its nodes, and the values of its leaves from left to right."""

    nodes: list[Node]
    values: npt.NDArray[np.float64]


class BitTrees:
    """An ensemble of small trees with tests of numbers alone."""

    def __init__(self, trees: Sequence[Tree]) -> None:
        self.trees = tuple(trees)

    @classmethod
    def of(cls, booster: "Booster") -> Self | None:
        """LightGBM's trees; None where one is too large, or tests what isn't a number."""
        trees = []
        for told in booster.dump_model()["tree_info"]:
            tree = Tree([], np.zeros(int(told["num_leaves"])))
            if told["num_leaves"] > MOST_LEAVES or not _read(told["tree_structure"], tree, 0):
                return None
            trees.append(tree)
        return cls(trees)

    def score(self, features: Floats) -> Floats:
        """(pairs,) scores of (pairs, columns) features."""
        scores = np.zeros(len(features))
        for start in range(0, len(features), PAIRS):
            block = slice(start, start + PAIRS)
            given = np.ascontiguousarray(features[block].T)
            missing = np.isnan(given.sum(axis=1))
            out = np.empty(given.shape[1], np.uint16)
            for tree in self.trees:
                out[:] = 0
                for node in tree.nodes:
                    out |= _failed(node, given[node.column], bool(missing[node.column]))
                scores[block] += _values(tree, out)
        return scores.astype(np.float32)

    def without(self, features: Floats, usual: Floats, groups: Sequence[Sequence[int]]) -> Floats:
        """(groups, pairs) scores of (pairs, columns) features where a group's columns are exchanged for the usual."""
        scores = np.zeros((len(groups), len(features)))
        for start in range(0, len(features), PAIRS):
            block = slice(start, start + PAIRS)
            given = np.ascontiguousarray(features[block].T)
            exchanged = np.ascontiguousarray(usual[block].T)
            missing = np.isnan((given + exchanged).sum(axis=1))
            for tree in self.trees:
                for group, out in enumerate(_ruled_out(tree, given, exchanged, groups, missing)):
                    scores[group, block] += _values(tree, out)
        return scores.astype(np.float32)


def _values(tree: Tree, ruled_out: Bits) -> npt.NDArray[np.float64]:
    """(pairs,) of their leaves; `take` with a mode is faster than an index, which is looked at twice."""
    leaf = _FIRST_LEFT.take(ruled_out, mode="clip")
    values: npt.NDArray[np.float64] = tree.values.take(leaf, mode="clip")
    return values


def _ruled_out(
    tree: Tree, given: Floats, exchanged: Floats, groups: Sequence[Sequence[int]], missing: npt.NDArray[np.bool_]
) -> Iterator[Bits]:
    """By group: (pairs,) the leaves that nodes rule out; of (columns, pairs) features and what they become.

    `missing` (columns,) is True where a value is.
    """
    of_column = {column: number for number, columns in enumerate(groups) for column in columns}
    own = np.zeros((len(groups) + 1, given.shape[1]), np.uint16)  # the last is by nodes of no group
    other: dict[int, Bits] = {}
    for node in tree.nodes:
        group, some = of_column.get(node.column, len(groups)), bool(missing[node.column])
        own[group] |= _failed(node, given[node.column], some)
        if group < len(groups):
            now = _failed(node, exchanged[node.column], some)
            other[group] = other[group] | now if group in other else now
    after = np.zeros_like(own)  # what the groups after each rule out
    for group in range(len(groups), 0, -1):
        np.bitwise_or(after[group], own[group], out=after[group - 1])
    before = np.zeros_like(own[0])
    for group in range(len(groups)):
        yield before | after[group] | other.get(group, own[group])
        before |= own[group]


def _failed(node: Node, values: Floats, missing: bool) -> Bits:
    """(pairs,) the leaves that the node rules out."""
    failed = values > node.threshold
    if missing and not node.passes_missing:
        failed |= np.isnan(values)
    ruled_out: Bits = failed * node.rules_out
    return ruled_out


def _read(told: Mapping[str, Any], tree: Tree, first: int) -> bool:
    """Add what LightGBM tells of a node and all below it, whose leaves begin with `first`; False where it can't be."""
    if "leaf_value" in told:
        tree.values[first] = told["leaf_value"]
        return True
    if told["decision_type"] != "<=" or told["missing_type"] not in ("None", "NaN"):
        return False
    largest = float(np.finfo(np.float32).max)
    threshold = np.float32(min(max(told["threshold"], -largest), largest))
    if float(threshold) > told["threshold"]:  # a float32 is above the threshold where it is above the one below it
        threshold = np.nextafter(threshold, np.float32(-np.inf))
    left = _leaves(told["left_child"])
    # without a way of its own a missing value is taken as 0
    passes = bool(told["default_left"]) if told["missing_type"] == "NaN" else told["threshold"] >= 0
    rules_out = np.uint16(((1 << left) - 1) << first)
    tree.nodes.append(Node(int(told["split_feature"]), threshold, passes, rules_out))
    return _read(told["left_child"], tree, first) and _read(told["right_child"], tree, first + left)


def _leaves(told: Mapping[str, Any]) -> int:
    return 1 if "leaf_value" in told else _leaves(told["left_child"]) + _leaves(told["right_child"])
