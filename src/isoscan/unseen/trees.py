"""Forests as flat arrays: evaluated without scikit-learn, kept without pickles.

All trees of all features stand one after the other. Nodes of a tree are in pre-order, so
that the left child of a node is the next one. A scan goes left where its score, in single
precision, is at most the split: thresholds are rounded down to single precision, which
leaves every such decision as scikit-learn makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import DataError, ModelFileError

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Forests:
    """One forest per feature, all with the same number of trees.

    Attributes
    ----------
    variable : ndarray of int16, shape (n_nodes,)
        Score that a node splits on; -1 for a leaf.
    split : ndarray of float32, shape (n_nodes,)
        Scores up to it go left; 0 for a leaf.
    link : ndarray of int32, shape (n_nodes,)
        Right child, counted from the root of the tree; for a leaf its number in the tree.
    value : ndarray of float64, shape (n_leaves,)
        What the leaves predict.
    first_node, first_leaf : ndarray of int64, shape (n_trees + 1,)
        Where each tree begins.
    n_per_forest : int
        Trees per feature.
    """

    variable: NDArray[np.int16]
    split: NDArray[np.float32]
    link: NDArray[np.int32]
    value: NDArray[np.float64]
    first_node: NDArray[np.int64]
    first_leaf: NDArray[np.int64]
    n_per_forest: int

    @property
    def n_forests(self) -> int:
        """Number of features that have a forest."""
        return (len(self.first_node) - 1) // self.n_per_forest

    def predict(self, forest: int, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Average the trees of one feature; each scan is treated on its own.

        Parameters
        ----------
        forest : int
            Position of the feature.
        scores : ndarray of shape (n_scans, n_scores)
            Inputs of the trees.

        Returns
        -------
        ndarray of shape (n_scans,)
            Mean over the trees.
        """
        trees = np.arange(forest * self.n_per_forest, (forest + 1) * self.n_per_forest)
        leaves = self.find_leaves(trees, scores.astype(np.float32))
        total = np.zeros(len(scores))
        for values in self.value[leaves]:
            total += values
        return total / self.n_per_forest

    def find_leaves(
        self, trees: NDArray[np.intp], scores: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        """Send every scan down every tree.

        Parameters
        ----------
        trees : ndarray of int, shape (n_trees,)
            Which trees.
        scores : ndarray of float32, shape (n_scans, n_scores)
            Inputs of the trees.

        Returns
        -------
        ndarray of int, shape (n_trees, n_scans)
            Positions in `value`.
        """
        n_scans = len(scores)
        root = np.repeat(self.first_node[trees], n_scans)
        scan = np.tile(np.arange(n_scans), len(trees))
        node = root.copy()
        moving = np.flatnonzero(self.variable[node] >= 0)
        while moving.size:
            at = node[moving]
            goes_left = scores[scan[moving], self.variable[at]] <= self.split[at]
            node[moving] = at = np.where(goes_left, at + 1, root[moving] + self.link[at])
            moving = moving[self.variable[at] >= 0]
        leaves = np.repeat(self.first_leaf[trees], n_scans) + self.link[node]
        return np.asarray(leaves.reshape(len(trees), n_scans))

    def to_arrays(self) -> Arrays:
        """Numbers by name.

        Returns
        -------
        dict of {str: ndarray}
            For a model file.
        """
        names = ("variable", "split", "link", "value", "first_node", "first_leaf")
        return {f"trees.{name}": getattr(self, name) for name in names}

    @classmethod
    def from_arrays(cls, arrays: Arrays, n_per_forest: int, n_scores: int) -> Forests:
        """Read back what `to_arrays` wrote; refuse what could not be evaluated.

        Parameters
        ----------
        arrays : dict of {str: ndarray}
            Numbers by name.
        n_per_forest : int
            Trees per feature.
        n_scores : int
            Scores that trees may split on.

        Returns
        -------
        Forests
            The forests.

        Raises
        ------
        ModelFileError
            If a node points outside its tree, or backwards.
        """
        forests = cls(
            arrays["trees.variable"].astype(np.int16, casting="same_kind"),
            arrays["trees.split"].astype(np.float32, casting="same_kind"),
            arrays["trees.link"].astype(np.int32, casting="same_kind"),
            arrays["trees.value"].astype(np.float64, casting="same_kind"),
            arrays["trees.first_node"].astype(np.int64, casting="same_kind"),
            arrays["trees.first_leaf"].astype(np.int64, casting="same_kind"),
            n_per_forest,
        )
        if not _is_sound(forests, n_scores):
            raise ModelFileError("the model file holds trees that do not fit together.")
        return forests


def flatten_forests(fitted: Sequence[Any], scales: Sequence[float]) -> Forests:
    """Turn forests of scikit-learn into flat arrays.

    Parameters
    ----------
    fitted : sequence of estimator
        Fitted forests of regression trees, one per feature, each with as many trees.
    scales : sequence of float
        What the predictions of each forest are multiplied by.

    Returns
    -------
    Forests
        The same trees.

    Raises
    ------
    DataError
        If an estimator is no such forest, or its trees grew best first.
    """
    trees = [(tree.tree_, scale) for forest, scale in zip(fitted, scales, strict=True)
             for tree in _trees_of(forest)]  # fmt: skip
    parts = [_flatten(tree, scale) for tree, scale in trees]
    variable, split, link, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    nodes = np.cumsum([0, *(len(part[0]) for part in parts)], dtype=np.int64)
    leaves = np.cumsum([0, *(len(part[3]) for part in parts)], dtype=np.int64)
    return Forests(variable, split, link, value, nodes, leaves, len(parts) // len(fitted))


def _trees_of(forest: Any) -> Sequence[Any]:
    trees = getattr(forest, "estimators_", None)
    if trees is None or not all(hasattr(tree, "tree_") for tree in trees):
        raise DataError(
            f"estimator must be a forest of regression trees, such as RandomForestRegressor or "
            f"ExtraTreesRegressor, got {type(forest).__name__}."
        )
    return list(trees)


def _flatten(tree: Any, scale: float) -> tuple[NDArray[Any], ...]:
    leaf = tree.children_left < 0
    if not (tree.children_left[~leaf] == np.flatnonzero(~leaf) + 1).all():
        raise DataError("trees that grow best first cannot be kept: leave max_leaf_nodes=None.")
    variable = np.where(leaf, -1, tree.feature).astype(np.int16)
    split = np.where(leaf, 0.0, tree.threshold)
    link = np.where(leaf, np.cumsum(leaf) - 1, tree.children_right).astype(np.int32)
    return variable, _round_down(split), link, tree.value[leaf, 0, 0] * scale


def _round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Largest single-precision numbers that do not exceed the thresholds."""
    single = thresholds.astype(np.float32)
    return np.where(single > thresholds, np.nextafter(single, np.float32(-np.inf)), single)


def _is_sound(forests: Forests, n_scores: int) -> bool:
    """Every path goes forwards within its tree and ends in one of its leaves."""
    nodes, leaves = forests.first_node, forests.first_leaf
    lengths = {len(forests.variable), len(forests.split), len(forests.link)}
    if len(nodes) != len(leaves) or len(nodes) < 2 or lengths != {int(nodes[-1])}:
        return False
    if forests.n_per_forest < 1 or (len(nodes) - 1) % forests.n_per_forest:
        return False
    starts_well = nodes[0] == 0 and leaves[0] == 0 and leaves[-1] == len(forests.value)
    if not starts_well or (np.diff(nodes) < 1).any() or (np.diff(leaves) < 1).any():
        return False
    tree = np.repeat(np.arange(len(nodes) - 1), np.diff(nodes))
    position = np.arange(nodes[-1]) - nodes[tree]
    is_leaf = forests.variable == -1
    most = np.where(is_leaf, np.diff(leaves)[tree], np.diff(nodes)[tree])
    least = np.where(is_leaf, 0, position + 1)
    return bool(
        ((forests.link >= least) & (forests.link < most)).all()
        and ((forests.variable >= -1) & (forests.variable < n_scores)).all()
        and is_leaf[nodes[1:] - 1].all()
        and np.isfinite(forests.value).all()
        and not np.isnan(forests.split).any()
    )
