"""Principal components of each feature's inputs, and scores that depend on one scan only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import DataError, ModelFileError, TooManyComponentsError

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Projection:
    """Standardize the inputs of each feature and project them on components.

    The inputs of feature f are the columns that all features share, then its own volume.

    Attributes
    ----------
    centre, scale : ndarray of shape (n_shared,)
        Mean and SD of the shared inputs.
    own_centre, own_scale : ndarray of shape (n_features,)
        Mean and SD of the volumes.
    weights : ndarray of shape (n_features, n_shared + 1, n_components)
        Loadings of the components.
    explained : ndarray of shape (n_features,)
        Share of the variance that the components keep.
    """

    centre: Matrix
    scale: Matrix
    own_centre: Matrix
    own_scale: Matrix
    weights: Matrix
    explained: Matrix

    @classmethod
    def learn(cls, shared: Matrix, own: Matrix, components: float | int | None) -> Projection:
        """Learn from the table of training.

        Parameters
        ----------
        shared : ndarray of shape (n_scans, n_shared)
            Inputs that all features share.
        own : ndarray of shape (n_scans, n_features)
            Volumes.
        components : int, float or None
            Number of components; the share of variance to keep in every feature; or None
            for the standardized inputs themselves.

        Returns
        -------
        Projection
            All features have the same number of components: the smallest that keeps the
            share in each of them.
        """
        centre, scale = _centre_and_scale(shared)
        own_centre, own_scale = _centre_and_scale(own)
        common, volumes = (shared - centre) / scale, (own - own_centre) / own_scale
        n_inputs = shared.shape[1] + 1
        if components is None:
            weights = np.broadcast_to(np.eye(n_inputs), (own.shape[1], n_inputs, n_inputs)).copy()
            explained = np.ones(own.shape[1])
            return cls(centre, scale, own_centre, own_scale, weights, explained)
        analyses = [_principal(np.column_stack([common, column])) for column in volumes.T]
        shares = np.cumsum([share for share, _ in analyses], axis=1)
        kept = _n_components(components, shares, min(n_inputs, len(shared)))
        weights = np.array([axes[:kept].T for _, axes in analyses])
        return cls(centre, scale, own_centre, own_scale, weights, shares[:, kept - 1])

    @property
    def n_components(self) -> int:
        """Scores per feature."""
        return int(self.weights.shape[2])

    def scores(self, shared: Matrix, own: Matrix, feature: int) -> Matrix:
        """Scores of one feature.

        Products are added up input by input, so that the score of a scan has the same bits
        alone and among others; matrix products of BLAS do not keep that.

        Parameters
        ----------
        shared : ndarray of shape (n_scans, n_shared)
            Inputs that all features share.
        own : ndarray of shape (n_scans,)
            Volume of the feature.
        feature : int
            Its position.

        Returns
        -------
        ndarray of shape (n_scans, n_components)
            Scores.
        """
        common = (shared - self.centre) / self.scale
        volume = (own - self.own_centre[feature]) / self.own_scale[feature]
        loadings = self.weights[feature]
        total = volume[:, None] * loadings[-1]
        for column, loading in zip(common.T, loadings, strict=False):
            total += column[:, None] * loading
        return np.asarray(total)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Numbers by name, for a model file."""
        names = ("centre", "scale", "own_centre", "own_scale", "weights", "explained")
        return {f"projection.{name}": getattr(self, name) for name in names}

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, NDArray[Any]], n_shared: int, n_features: int
    ) -> Projection:
        """Read back what `to_arrays` wrote; refuse what does not fit.

        Parameters
        ----------
        arrays : dict of {str: ndarray}
            Numbers by name.
        n_shared, n_features : int
            Lengths that the model file announces.

        Returns
        -------
        Projection
            The same projection.

        Raises
        ------
        ModelFileError
            If shapes disagree or a number is not finite.
        """
        start = "projection."
        own = {name.removeprefix(start): np.asarray(array, dtype=np.float64)
               for name, array in arrays.items() if name.startswith(start)}  # fmt: skip
        projection = cls(**own)
        shapes = {
            "centre": (n_shared,),
            "scale": (n_shared,),
            "own_centre": (n_features,),
            "own_scale": (n_features,),
            "weights": (n_features, n_shared + 1, projection.n_components),
            "explained": (n_features,),
        }
        for name, shape in shapes.items():
            array = getattr(projection, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise ModelFileError(f"the model file holds no sound projection ({name}).")
        return projection


def _centre_and_scale(values: Matrix) -> tuple[Matrix, Matrix]:
    spread = values.std(axis=0)
    return values.mean(axis=0), np.where(spread > 0, spread, 1.0)


def _principal(standardized: Matrix) -> tuple[Matrix, Matrix]:
    """Shares of variance and axes, the largest first."""
    from sklearn.decomposition import PCA

    analysis = PCA(svd_solver="full").fit(standardized)
    return analysis.explained_variance_ratio_, analysis.components_


def _n_components(components: float | int, shares: Matrix, most: int) -> int:
    """Smallest number that keeps the share in all features, or the number asked for."""
    if isinstance(components, int | np.integer) and not isinstance(components, bool):
        if not 1 <= components <= most:
            raise TooManyComponentsError(
                f"components={components} is impossible: {most} inputs or scans allow 1 to {most}."
            )
        return int(components)
    if not 0 < components <= 1:
        raise DataError(f"components must be a number, a share in (0, 1] or None: {components!r}.")
    enough = shares >= min(components, 1 - 1e-12)
    return int(enough.argmax(axis=1).max()) + 1
