"""What every site found: one row per site and feature, and what could not be done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

KINDS = {
    "d": "Cohen's d (ENIGMA)",
    "g": "Hedges' g",
    "z": "Fisher's z of the partial correlation",
    "r": "partial correlation",
    "beta": "regression coefficient, in units of the measure",
}


@dataclass(frozen=True, repr=False)
class SiteEffects:
    """Effects of one contrast at every site.

    Attributes
    ----------
    contrast : str
        Term of the regression that was tested.
    groups : tuple of (str, str) or None
        Reference group (n1) and compared group (n2); None for a continuous predictor.
    kind : str
        "d", "g", "z", "r" or "beta".
    formula : str
        The regression fitted at each site.
    sites, features : tuple of str
        Rows and columns of `values`.
    values : dict of {str: ndarray of shape (n_sites, n_features)}
        effect, se, low, high, beta, beta_se, t, df, p, n and, for groups, n1 and n2; NaN
        where a site has no effect.
    skipped : DataFrame
        site, feature, reason: what could not be estimated.
    left_out : DataFrame
        site, term, reason: covariates that could not be used at a site, scans without one.
    """

    contrast: str
    groups: tuple[str, str] | None
    kind: str
    formula: str
    sites: tuple[str, ...]
    features: tuple[str, ...]
    values: dict[str, NDArray[np.float64]]
    skipped: pd.DataFrame
    left_out: pd.DataFrame

    @property
    def table(self) -> pd.DataFrame:
        """One row per site and feature that has an effect.

        Returns
        -------
        DataFrame
            site, feature, kind and the columns of `values`; counts are whole numbers.
        """
        rows, columns = np.nonzero(np.isfinite(self.values["effect"]))
        frame = pd.DataFrame(
            {
                "site": np.array(self.sites, dtype=object)[rows],
                "feature": np.array(self.features, dtype=object)[columns],
                "kind": self.kind,
            }
        )
        for name, values in self.values.items():
            cells = values[rows, columns]
            frame[name] = cells.astype(int) if name in {"n", "n1", "n2", "df"} else cells
        return frame

    def __repr__(self) -> str:
        """Say in one line what this is."""
        return (
            f"<SiteEffects: {KINDS[self.kind]} of {self.contrast}, {len(self.sites)} sites, "
            f"{len(self.features)} features, {len(self.skipped)} skipped>"
        )
