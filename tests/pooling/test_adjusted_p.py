"""Adjusted p values are those of R's p.adjust."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_effects import reference

from isoscan.errors import DataError
from isoscan.pooling import adjust_p


@pytest.mark.parametrize("case", ["bh1995", "ties_na"])
@pytest.mark.parametrize("method", ["bh", "by", "holm", "hochberg", "bonferroni"])
def test_adjusted_p_is_that_of_r(case, method) -> None:
    golden = reference("g06_multiplicity.json")[case]
    p = np.array(golden["p"], float)
    name = method.upper() if method in ("bh", "by") else method
    expected = np.array(golden["adj"][name], float)
    np.testing.assert_allclose(adjust_p(p, method), expected, rtol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_no_adjustment_makes_p_smaller(values) -> None:
    p = np.array(values)
    for method in ("bh", "by", "holm", "hochberg", "bonferroni"):
        assert (adjust_p(p, method) >= p - 1e-12).all()


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        adjust_p([0.1, 1.2])
    with pytest.raises(DataError, match="no adjustment"):
        adjust_p([0.1], "fdr")
    assert np.isnan(adjust_p([np.nan, np.nan])).all()
