"""Fit one forest per feature, and search its settings by leaving scanners out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from isoscan.errors import DataError
from isoscan.unseen.projection import Projection
from isoscan.unseen.trees import Forests, flatten_forests

Matrix = NDArray[np.float64]
Search = Mapping[str, Sequence[Any]]


def default_forest() -> Any:
    """A hundred trees, as scikit-learn grows them by default.

    Returns
    -------
    RandomForestRegressor
        Not fitted.
    """
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(n_estimators=100)


def seeds_of(n_features: int, random_state: int | np.random.Generator | None) -> list[int]:
    """One seed per feature, whatever the number of threads.

    Parameters
    ----------
    n_features : int
        How many.
    random_state : int, Generator or None
        Where they come from.

    Returns
    -------
    list of int
        Seeds for scikit-learn.
    """
    generator = np.random.default_rng(random_state)
    return [int(seed) for seed in generator.integers(0, 2**31 - 1, n_features)]


def grow_forests(
    estimators: Sequence[Any],
    projection: Projection,
    shared: Matrix,
    own: Matrix,
    corrections: Matrix,
    *,
    seeds: Sequence[int],
    n_jobs: int | None,
) -> tuple[Forests, Matrix]:
    """Fit the forest of each feature to its corrections.

    Corrections are divided by their SD while trees grow, because scikit-learn takes a
    variance below 2e-16 for none, and small structures come close to it.

    Parameters
    ----------
    estimators : sequence of estimator
        Forest of each feature, not fitted.
    projection : Projection
        From inputs to scores.
    shared : ndarray of shape (n_scans, n_shared)
        Inputs that all features share.
    own : ndarray of shape (n_scans, n_features)
        Volumes.
    corrections : ndarray of shape (n_scans, n_features)
        What is predicted.
    seeds : sequence of int
        Seed of each forest.
    n_jobs : int or None
        Threads.

    Returns
    -------
    forests : Forests
        Trees of all features.
    importances : ndarray of shape (n_features, n_components)
        Share of each score in the reduction of variance.
    """
    from sklearn.utils.parallel import Parallel, delayed

    def grow(feature: int) -> tuple[Any, float]:
        target = corrections[:, feature]
        spread = float(target.std()) or 1.0
        scores = projection.scores(shared, own[:, feature], feature).astype(np.float32)
        forest = clone(estimators[feature]).set_params(random_state=seeds[feature])
        return forest.fit(scores, target / spread), spread

    grown = Parallel(n_jobs=n_jobs, prefer="threads")(map(delayed(grow), range(own.shape[1])))
    fitted, spreads = zip(*grown, strict=True)
    importances = np.array([forest.feature_importances_ for forest in fitted])
    return flatten_forests(fitted, spreads), importances


def importances_of_inputs(
    importances: Matrix, projection: Projection, names: Sequence[str], features: Sequence[str]
) -> pd.DataFrame:
    """Share the importance of components among inputs, by their squared loadings.

    Parameters
    ----------
    importances : ndarray of shape (n_features, n_components)
        Importance of each component.
    projection : Projection
        Its loadings.
    names : sequence of str
        Shared inputs.
    features : sequence of str
        Features.

    Returns
    -------
    DataFrame of shape (n_features, n_shared + 1)
        Importance of each input; rows sum to 1 where a forest has any split. The last column
        is the feature's own volume.
    """
    shares = np.einsum("fc,fic->fi", importances, projection.weights**2)
    return pd.DataFrame(shares, index=list(features), columns=[*names, "own volume"])


def search_settings(
    estimator: Any,
    search: Search,
    shared: Matrix,
    own: Matrix,
    corrections: Matrix,
    groups: NDArray[np.object_],
    *,
    n_components: int | None,
    n_candidates: int | None,
    scoring: str,
    seeds: Sequence[int],
    n_jobs: int | None,
) -> list[pd.DataFrame]:
    """Score settings of each feature's forest by leaving one group of scanners out.

    Mean, SD and components of the inputs are learned anew in every split.

    Parameters
    ----------
    estimator : estimator
        Forest.
    search : mapping of {str: sequence}
        Values of its parameters; an empty mapping scores the forest as it is.
    shared : ndarray of shape (n_scans, n_shared)
        Inputs that all features share.
    own : ndarray of shape (n_scans, n_features)
        Volumes.
    corrections : ndarray of shape (n_scans, n_features)
        What is predicted.
    groups : ndarray of str objects, shape (n_scans,)
        Scanners, small ones merged.
    n_components : int or None
        Components of the inputs.
    n_candidates : int or None
        How many combinations are drawn; None for all.
    scoring : str
        A score of scikit-learn; the largest is chosen.
    seeds : sequence of int
        Seed of each forest.
    n_jobs : int or None
        Threads.

    Returns
    -------
    list of DataFrame
        One per feature: params, score (mean over groups), and one column per group left out.
    """
    from sklearn.utils.parallel import Parallel, delayed

    def score(feature: int) -> pd.DataFrame:
        inputs = np.column_stack([shared, own[:, feature]])
        target = corrections[:, feature]
        scaled = target / (float(target.std()) or 1.0)
        model = _pipeline(estimator, n_components, seeds[feature])
        candidates = _candidates(search, n_candidates, seeds[feature])
        return _leave_groups_out(model, candidates, inputs, scaled, groups, scoring)

    return list(Parallel(n_jobs=n_jobs, prefer="threads")(map(delayed(score), range(own.shape[1]))))


def best_settings(scores: pd.DataFrame) -> dict[str, Any]:
    """Choose the settings with the highest mean score; the first of equals.

    Parameters
    ----------
    scores : DataFrame
        One feature, from `search_settings`.

    Returns
    -------
    dict
        Parameters of the forest.
    """
    return dict(scores.params.iloc[int(scores.score.to_numpy().argmax())])


def _pipeline(estimator: Any, n_components: int | None, seed: int) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    forest = clone(estimator).set_params(random_state=seed)
    components = "passthrough" if n_components is None else PCA(n_components, svd_solver="full")
    return Pipeline([("scale", StandardScaler()), ("components", components), ("forest", forest)])


def _candidates(search: Search, n_candidates: int | None, seed: int) -> list[dict[str, Any]]:
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    if not all(np.ndim(values) == 1 for values in search.values()):
        raise DataError("search must map each parameter of the forest to a list of values.")
    grid = ParameterGrid({name: list(values) for name, values in search.items()})
    if n_candidates is None or n_candidates >= len(grid):
        return list(grid)
    return list(ParameterSampler(dict(search), n_candidates, random_state=seed))


def _leave_groups_out(
    model: Any,
    candidates: list[dict[str, Any]],
    inputs: Matrix,
    target: Matrix,
    groups: NDArray[np.object_],
    scoring: str,
) -> pd.DataFrame:
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_score

    rows = []
    for params in candidates:
        chosen = clone(model).set_params(
            **{f"forest__{key}": value for key, value in params.items()}
        )
        scores = cross_val_score(
            chosen, inputs, target, groups=groups, cv=LeaveOneGroupOut(), scoring=scoring
        )
        named = dict(zip(np.unique(groups), scores, strict=True))
        rows.append({"params": params, "score": float(np.mean(scores)), **named})
    return pd.DataFrame(rows)
