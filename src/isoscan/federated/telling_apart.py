"""Can the sites together tell the covariates apart? Asked of sums, for there are no rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import ConfoundedDesignError, name_some
from isoscan.federated.study import Study

Array = NDArray[np.float64]


def require_told_apart(products: Array, study: Study) -> None:
    """Refuse covariates that the sites together cannot tell apart.

    Parameters
    ----------
    products : ndarray of shape (n_columns, n_columns, 1 or n_features)
        Products of the design columns within batches, summed.
    study : Study
        What was agreed upon.

    Raises
    ------
    ConfoundedDesignError
        Naming the columns.
    """
    matrix = products[..., 0]
    directions, names = _fixed_directions(study)
    if not names or products.shape[-1] != 1:
        return
    matrix = directions.T @ matrix @ directions
    spread = np.sqrt(np.maximum(np.diagonal(matrix), 0.0))
    still = [name for name, size in zip(names, spread, strict=True) if size == 0]
    if still:
        raise ConfoundedDesignError(
            f"{name_some(still)} does not vary within any batch, so it cannot be told apart from "
            f"site. Add a site where it varies, or drop it from the study.",
            terms=still,
        )
    values, vectors = np.linalg.eigh(matrix / (spread[:, None] * spread))
    if values[0] <= 1e-12:
        involved = [n for n, w in zip(names, vectors[:, 0], strict=True) if abs(w) > 1e-4]
        raise ConfoundedDesignError(
            f"{name_some(involved)} cannot be told apart within sites: one follows from the "
            f"others. Add a site that has all combinations, or drop one from the study.",
            terms=involved,
        )


def _fixed_directions(study: Study) -> tuple[Array, list[str]]:
    """Plain columns, and the straight line of each curve: what no penalty can settle."""
    columns = study.columns
    plain = np.ones(len(columns), dtype=bool)
    lines, labels = [], []
    for spline, penalty in zip(study.smooth_design.splines, study.penalties, strict=True):
        plain[penalty.columns] = False
        cost, directions = np.linalg.eigh(penalty.matrix)
        line = np.zeros((len(columns), 1))
        line[penalty.columns] = directions[:, cost <= 1e-9 * cost[-1]][:, :1]
        lines.append(line)
        labels.append(spline.label)
    names = [name for name, is_plain in zip(columns, plain, strict=True) if is_plain]
    return np.hstack([np.eye(len(columns))[:, plain], *lines]), [*names, *labels]
