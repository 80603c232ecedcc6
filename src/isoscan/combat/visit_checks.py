"""What longitudinal ComBat refuses, and what it warns of, in words."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.design.requirements import require_covariates
from isoscan.errors import (
    ConfoundingWarning,
    ConvergenceWarning,
    MissingValuesError,
    MixedModelError,
    count,
    name_some,
)

if TYPE_CHECKING:
    from isoscan.combat.longitudinal import LongitudinalComBat
    from isoscan.combat.visits import Visits


def require_people(estimator: LongitudinalComBat, covariates: pd.DataFrame | None) -> pd.DataFrame:
    """Refuse covariates that do not say who was scanned."""
    names = [name for name in (estimator.subject, estimator.slope) if name is not None]
    table = require_covariates(covariates, names)
    missing = table[estimator.subject].isna()
    if missing.any():
        raise MissingValuesError(
            f"'{estimator.subject}' is missing for {int(missing.sum())} of "
            f"{count(len(table), 'scan')}: {name_some(table.index[missing])}. Say whose scans "
            f"they are, or leave them out.",
            covariate=estimator.subject,
        )
    return table


def require_visits(
    estimator: LongitudinalComBat, visits: Visits, sites: NDArray[np.object_]
) -> None:
    """Refuse visits that cannot tell subjects from noise; warn if sites share nobody."""
    table = pd.DataFrame({"subject": visits.subjects, "site": sites})
    people = table.groupby("subject")
    if people.size().max() < 2:
        raise MixedModelError(
            f"every subject has 1 scan ({count(len(people), 'subject')} in "
            f"'{estimator.subject}'): what subjects differ by cannot be told apart from noise. "
            f"Check the column, or use ComBat.",
            subjects=len(people),
        )
    if visits.slope is not None:
        along = table.assign(slope=visits.slope).groupby("subject").slope
        if not (along.max() > along.min()).any():
            raise MixedModelError(
                f"'{estimator.slope}' does not change within any subject: slopes of subjects "
                f"cannot be estimated. Check the column, or leave slope out.",
                covariate=estimator.slope,
            )
    if not (people.site.nunique() > 1).any():
        warnings.warn(
            f"nobody was scanned at more than one site: site effects rest on differences "
            f"between the {count(len(people), 'subject')}, as in cross-sectional data.",
            ConfoundingWarning,
            stacklevel=5,
        )


def warn_of_boundary(estimator: LongitudinalComBat, singular: NDArray[np.bool_]) -> None:
    """Name features whose variance between subjects lies on the boundary."""
    names = estimator._names(singular)
    if names:
        warnings.warn(
            f"{count(names, 'feature')} with a variance between subjects on the boundary (none, "
            f"or level and slope that determine each other): {name_some(names)}. This is an "
            f"estimate, not a failure; see variance_components_.",
            ConvergenceWarning,
            stacklevel=5,
        )
