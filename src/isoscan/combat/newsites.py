"""Estimate sites that did not take part in training, leaving the others as they are.

A new site is compared with what training expects. How much its own deviations
are trusted depends on the prior: fitted to the new site's own features, as
ComBatFamily's ``predict`` does, or to the deviations of the training sites. With
few scans the first takes noise for site effect; the second knows better how large
site effects are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.effects import SiteEffects
from isoscan.combat.priors import Prior, prior_from_moments

Array = NDArray[np.float64]


def prior_of_training_sites(
    effects: SiteEffects, active: NDArray[np.bool_], skip: int | None
) -> Prior:
    """Distribution of true shifts and variances over the training sites and features.

    Raw estimates scatter more than the truth, by their sampling noise; its known
    size is subtracted.

    Parameters
    ----------
    effects : SiteEffects
        Estimates of the training sites.
    active : ndarray of bool, shape (n_features,)
        Features that vary.
    skip : int or None
        Reference site, which has no shift and no change of scale.

    Returns
    -------
    Prior
        One prior for any new site.
    """
    keep = [site for site in range(len(effects.shift)) if site != skip]
    shift, variance = effects.raw_shift[keep][:, active], effects.raw_variance[keep][:, active]
    count = np.broadcast_to(effects.count, effects.shift.shape)[keep][:, active]
    with np.errstate(divide="ignore", invalid="ignore"):
        shift_noise = np.nanmean(variance / count)
        variance_noise = np.nanmean(2 * variance**2 / (count - 1))
    mean = float(np.nanmean(variance))
    spread = np.nanmean((variance - mean) ** 2) - variance_noise
    shift_mean = float(np.nanmean(shift))
    shift_variance = np.nanmean((shift - shift_mean) ** 2) - shift_noise
    # A tenth of the noise stays: site effects are small at worst, never known to be nil.
    return prior_from_moments(
        shift_mean,
        float(max(shift_variance, 0.1 * shift_noise)),
        mean,
        float(max(spread, 0.1 * variance_noise)),
    )
