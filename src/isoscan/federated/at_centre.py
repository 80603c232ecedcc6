"""At the centre: check what came in, add it up, and fit the model that all data would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isoscan.combat import ComBat
from isoscan.combat.checks import require_sites
from isoscan.combat.moments import Moments
from isoscan.combat.smooth import Penalty
from isoscan.combat.training import Training
from isoscan.errors import (
    DataError,
    MessageFileError,
    TooFewScansError,
    name_some,
)
from isoscan.federated.merging import Combined, Message, coarsest, merged, require_distinct
from isoscan.federated.messages import Summary
from isoscan.federated.study import Study
from isoscan.federated.sums import Coefficients, solve_sums
from isoscan.federated.telling_apart import require_told_apart
from isoscan.federated.totals import Sums
from isoscan.federated.validation import read_message, require_plausible, require_same_study

Array = NDArray[np.float64]


def combine(study: Study, messages: Sequence[Message | str | Path]) -> ComBat | Coefficients:
    """Fit the model that the pooled data of all sites would give.

    Parameters
    ----------
    study : Study
        What was agreed upon.
    messages : sequence of Summary, Sums or path
        One per site, or several of different parts of a site.

    Returns
    -------
    ComBat or Coefficients
        A fitted model, ready to `save` and to `transform`; in sums mode what sites need to
        finish their own models.

    Raises
    ------
    MessageFileError
        If a message cannot be what it says.
    DataError
        If the sites together cannot be harmonized.

    Examples
    --------
    >>> model = combine(study, ["oslo.isoscan", "kcl.isoscan"])  # doctest: +SKIP
    """
    read = read_all(study, messages)
    read.sort(key=lambda message: (message.sender.location, message.sender.part))
    sums = [message for message in read if isinstance(message, Sums)]
    if sums:
        if len(sums) < len(read):
            raise MessageFileError(
                f"{len(sums)} of {len(read)} messages are in sums mode. All sites must use the "
                f"same mode."
            )
        total = sums[0]
        for other in sums[1:]:
            total = total + other
        require_told_apart(total.measured_products, study)
        return solve_sums(total, study, coarsest(read))
    return fit_combined(study, merged([m for m in read if isinstance(m, Summary)]))


def read_all(study: Study, messages: Sequence[Message | str | Path]) -> list[Message]:
    """Read messages and check that each counts once.

    Parameters
    ----------
    study : Study
        What was agreed upon.
    messages : sequence of Summary, Sums or path
        Messages, or files.

    Returns
    -------
    list of Summary or Sums
        The checked messages.

    Raises
    ------
    MessageFileError
        If a message cannot be what it says, or two are of the same scans.
    """
    if not messages:
        raise DataError("there is no message to combine.")
    read: list[Message] = []
    for item in messages:
        if isinstance(item, str | Path):
            read.append(read_message(item, study))
        else:
            require_same_study(item.sender, study, item.sender.label)
            require_plausible(item, study, item.sender.label)
            read.append(item)
    require_distinct(read)
    return read


def fit_combined(study: Study, data: Combined) -> ComBat:
    """Fit from moments of all batches.

    Parameters
    ----------
    study : Study
        What was agreed upon.
    data : Combined
        Moments of all batches.

    Returns
    -------
    ComBat
        The fitted model.

    Raises
    ------
    DataError
        If the sites together cannot be harmonized.
    """
    model = study.estimator()
    per_site = data.everyone.count[:, 0]
    model.sites_ = list(data.batches)
    model.scans_per_site_ = dict(zip(data.batches, per_site.astype(int).tolist(), strict=True))
    require_sites(model)
    single = [name for name, n in model.scans_per_site_.items() if n < 2]
    if single and not study.mean_only:
        raise TooFewScansError(f"{name_some(single)} with 1 scan; a scale needs at least 2.")
    require_told_apart(data.everyone.covariate_products.sum(axis=0), study)
    training = Training.of_moments(data.everyone, per_site)
    training = replace(training, centre=_centre(training.mean, data, study.penalties))
    model.model_ = model._estimate_from(
        lambda block: _columns(data.moments, block), training, model.n_features_in_, data.dtype
    )
    model.passed_through_ = model._names(model.model_.passed_through)
    return model


def _columns(moments: Moments, block: slice) -> Moments:
    def of_block(array: Array) -> Array:
        return array if array.shape[-1] == 1 else array[..., block]

    if moments.feature_mean.shape[1] == 1:
        return moments
    return Moments(*(of_block(getattr(moments, name)) for name in Moments.__dataclass_fields__))


def _centre(mean: Array, data: Combined, penalties: Sequence[Penalty]) -> Array:
    """Mean design row; of a curve for one level, over the scans of that level."""
    centre, n_scans = mean.copy(), data.everyone.count.sum()
    for penalty, inside in zip(penalties, data.level_scans.sum(axis=0), strict=True):
        centre[penalty.columns] *= n_scans / max(inside, 1.0)
    return centre
