"""Mixed models that cannot be fitted are refused in words."""

from __future__ import annotations

import re

import numpy as np
import pytest

from isoscan.combat.mixed import fit_mixed
from isoscan.errors import (
    ConfoundedDesignError,
    DataError,
    InfiniteValuesError,
    MissingValuesError,
    MixedModelError,
    NotNumericError,
    TooManyTermsError,
)

GROUPS = np.repeat(np.arange(6), 4)
RNG = np.random.default_rng(0)
DESIGN = np.column_stack([np.ones(24), RNG.normal(size=24)])
MEASURES = RNG.normal(size=(24, 3))


def refused(error: type[DataError], message: str, **changes: object) -> DataError:
    arguments = {"measures": MEASURES, "design": DESIGN, "groups": GROUPS, **changes}
    with pytest.raises(error, match=re.escape(message)) as caught:
        fit_mixed(**arguments)  # type: ignore[arg-type]
    return caught.value


def test_columns_that_follow_from_others_are_counted_and_named() -> None:
    design = np.column_stack([DESIGN, DESIGN @ [1.0, 2.0], DESIGN[:, 1]])
    error = refused(ConfoundedDesignError, "2 of 4 columns of the design follow", design=design)
    assert len(error.columns) == 2


def test_column_of_zeros_is_refused() -> None:
    design = np.column_stack([DESIGN, np.zeros(24)])
    error = refused(ConfoundedDesignError, "1 of 3 columns of the design follows", design=design)
    assert error.columns == [2]


def test_one_scan_per_group_is_refused() -> None:
    refused(MixedModelError, "every group has 1 scan (24 groups)", groups=np.arange(24))


def test_one_group_is_refused() -> None:
    refused(MixedModelError, "at least 2 groups, found 1 in 24 scans", groups=["a"] * 24)


def test_groups_that_the_design_names_are_refused() -> None:
    design = (GROUPS[:, None] == np.arange(6)).astype(float)
    refused(MixedModelError, "explains all differences between the 6 groups", design=design)


def test_groups_that_leave_no_residual_are_refused() -> None:
    groups = np.concatenate([[0, 0], np.arange(1, 23)])
    refused(MixedModelError, "leave nothing to estimate a residual variance", groups=groups)


def test_more_columns_than_scans_are_refused() -> None:
    design = RNG.normal(size=(24, 24))
    refused(TooManyTermsError, "24 columns for 24 scans", design=design)


def test_scans_without_group_are_refused() -> None:
    groups = GROUPS.astype(float)
    groups[5] = np.nan
    refused(MissingValuesError, "1 of 24 scans have no group", groups=groups)


def test_incomplete_designs_are_refused() -> None:
    design = DESIGN.copy()
    design[7, 1] = np.nan
    refused(MissingValuesError, "1 of 24 rows of the design", design=design)


def test_infinite_measures_are_refused_with_their_place() -> None:
    measures = MEASURES.copy()
    measures[4, 2] = np.inf
    refused(InfiniteValuesError, "the first in row 4, column 2", measures=measures)


def test_shapes_must_agree() -> None:
    refused(DataError, "measures have 24 rows and the design has 23", design=DESIGN[1:])
    refused(DataError, "expected 24, got shape (23,)", groups=GROUPS[1:])
    refused(DataError, "got shape (24,)", measures=MEASURES[:, 0])
    refused(DataError, "must be a table", design=DESIGN[:, 0])
    refused(NotNumericError, "must be numbers", measures=MEASURES.astype(str))
    refused(DataError, "method must be", method="REML ")


def test_features_without_values_are_refused() -> None:
    refused(DataError, "none of 3 features", measures=_without_values())


def _without_values() -> np.ndarray:
    measures = np.full((24, 3), np.nan)
    measures[0] = measures[1, 0] = 1.0
    return measures
