"""Labels are text, compared exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from isoscan.errors import SiteLabelError, SiteLabelWarning
from isoscan.labels import as_labels, find_lookalikes, normalize_labels


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["b", "a"], ["b", "a"]),
        ([10, 2], ["10", "2"]),
        (np.array([10, 2]), ["10", "2"]),
        (pd.Series([1, 2], dtype="Int64"), ["1", "2"]),
        (pd.Categorical(["x", "y"], categories=["y", "x", "z"]), ["x", "y"]),
        (["NA", "None"], ["NA", "None"]),
        ([True, False], ["True", "False"]),
        (["e\u0301"], ["é"]),
    ],
)
def test_labels_become_text(values, labels) -> None:
    assert as_labels(values).tolist() == labels


def test_floats_lose_their_point_with_a_warning() -> None:
    with pytest.warns(SiteLabelWarning, match="floating-point"):
        assert as_labels([1.0, 2.5]).tolist() == ["1", "2.5"]


@pytest.mark.parametrize("bad", [None, np.nan, "", "  ", pd.NA])
def test_missing_label_is_refused_by_row(bad) -> None:
    with pytest.raises(SiteLabelError, match=r"site is missing for 1 scan: 's2'"):
        as_labels(pd.Series(["A", bad], index=["s1", "s2"], dtype=object))


@pytest.mark.parametrize("mixed", [[1, "1"], [1, 1.0], ["a", True]])
def test_mixed_labels_are_refused(mixed) -> None:
    with pytest.raises(SiteLabelError, match="labels mix"):
        as_labels(mixed)


def test_lookalikes_are_found_and_can_be_merged() -> None:
    labels = ["GE", "ge ", "GE", "General  Electric", "general electric", "Philips"]
    assert find_lookalikes(labels) == [["GE", "ge "], ["General  Electric", "general electric"]]
    assert sorted(set(normalize_labels(labels))) == ["GE", "Philips", "general electric"]
