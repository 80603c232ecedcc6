"""Which site moves the answer? Leave each out in turn, heterogeneity included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.pooling.pooled import Options, pool
from isoscan.pooling.studies import Studies

Numbers = NDArray[np.float64]

_KEPT = ["k", "effect", "se", "low", "high", "p", "tau2", "I2", "Q"]
SHIFT_LIMIT = 1.0
TAU2_LIMIT = 0.5


def leave_one_out(studies: Studies, options: Options) -> pd.DataFrame:
    """Pool again without each site in turn.

    Parameters
    ----------
    studies : Studies
        Site effects.
    options : Options
        How they were pooled.

    Returns
    -------
    DataFrame
        feature, site (left out), k, effect, se, low, high, p, tau2, I2, Q; shift, the
        move of the estimate in pooled standard errors; moves_effect, if that is more than
        one; moves_tau2, if tau² changes by more than half (from 0: at all).
    """
    evidence = studies.evidence()
    whole = pool(evidence, options, intervals=False)
    present = evidence.present > 0
    parts = []
    for site, name in enumerate(studies.sites):
        found = pool(evidence.without(site), options, intervals=False)
        shift = (found["effect"] - whole["effect"]) / whole["se"]
        change = np.abs(found["tau2"] - whole["tau2"])
        frame = pd.DataFrame(
            {"feature": studies.features, "site": name}
            | {column: found[column] for column in _KEPT}
            | {
                "shift": shift,
                "moves_effect": np.abs(shift) > SHIFT_LIMIT,
                "moves_tau2": change > TAU2_LIMIT * whole["tau2"],
            }
        )
        parts.append(frame[present[site]])
    return _by_feature(pd.concat(parts), studies).astype({"k": int})


def influence(studies: Studies, options: Options) -> pd.DataFrame:
    """Measures of influence, as metafor defines them.

    Parameters
    ----------
    studies : Studies
        Site effects.
    options : Options
        How they were pooled.

    Returns
    -------
    DataFrame
        feature, site, rstudent (residual from the answer of the other sites, in its
        standard error), dffits (move of the answer), cook_distance, covariance_ratio
        (variance of the answer without the site over that with it), hat, weight (percent).

    References
    ----------
    .. [1] Viechtbauer & Cheung (2010), Res Synth Methods 1:112, doi:10.1002/jrsm.11.
    """
    evidence = studies.evidence()
    options = replace(options, prediction="as-test")
    whole = pool(evidence, options, intervals=False)
    weights = evidence.weights(np.nan_to_num(whole["tau2"]))
    with np.errstate(invalid="ignore", divide="ignore"):
        hat = weights / weights.sum(axis=0)
        parts = [
            _of_one_site(studies, options, site, whole, hat[site])
            for site in range(len(studies.sites))
        ]
    return _by_feature(pd.concat(parts), studies)


def _of_one_site(
    studies: Studies, options: Options, site: int, whole: dict[str, Numbers], hat: Numbers
) -> pd.DataFrame:
    evidence = studies.evidence()
    rest = pool(evidence.without(site), options, intervals=False)
    spread = evidence.variances[site] + np.nan_to_num(rest["tau2"])
    move = whole["effect"] - rest["effect"]
    residual = evidence.effects[site] - rest["effect"]
    frame = pd.DataFrame(
        {
            "feature": studies.features,
            "site": studies.sites[site],
            "rstudent": residual / np.sqrt(spread + rest["se"] ** 2),
            "dffits": move / np.sqrt(hat * spread),
            "cook_distance": (move / whole["se"]) ** 2,
            "covariance_ratio": (rest["se"] / whole["se"]) ** 2,
            "hat": hat,
            "weight": 100 * hat,
        }
    )
    return frame[np.asarray(evidence.present[site] > 0)]


def _by_feature(table: pd.DataFrame, studies: Studies) -> pd.DataFrame:
    position = {feature: at for at, feature in enumerate(studies.features)}
    order = np.argsort([position[name] for name in table["feature"]], kind="stable")
    return pd.DataFrame(table.take(order)).reset_index(drop=True)
